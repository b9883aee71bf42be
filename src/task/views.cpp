#include "task/views.hpp"

#include "task/board.hpp"
#include "task/chores.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>

namespace onceward::task_detail {
namespace {

constexpr std::array<std::string_view, 6> grant_states = {"earned",       "waiting", "granted",
                                                          "out_of_stock", "voided",  "revoked"};

/// A run a view needs: of the reward, or of what takes it back.
struct RunWanted {
  std::int64_t stage;
  std::int64_t generation;
  bool revoked;
  std::string key;
  std::string partition;
};

/// Of a group's members the one that is furthest from its end says how a stage's reward stands.
int urgency(RunState state) noexcept {
  switch (state) {
    case RunState::succeeded: return 0;
    case RunState::cancelled: return 1;
    case RunState::failed: return 2;
    case RunState::needs_attention: return 3;
    case RunState::running: return 4;
  }
  return 0;
}

std::string member_todo_of(const ViewWanted& wanted, std::int64_t number) {
  return todo_key({Todo::Kind::member, {{}, {}, wanted.task, wanted.cycle, number, 1}});
}

std::string run_key_of(const ViewWanted& wanted, const CompiledStage& stage, std::int64_t number,
                       std::int64_t generation, bool revoked) {
  const auto& plan = revoked && stage.take_back ? *stage.take_back : stage.plan;
  // The merchant is the first part of every partition.
  const GrantKey grant{wanted.partition.substr(0, wanted.partition.find('/')),
                       wanted.user,
                       wanted.task,
                       wanted.cycle,
                       number,
                       generation};
  return run_record_key(plan.definition().id, to_run_key(grant));
}

std::vector<RunWanted> runs_of(const ViewWanted& wanted, const Instance& instance, const CompiledTask& task) {
  std::vector<RunWanted> runs;
  if (wanted.user.empty()) {
    auto member = wanted;
    for (std::int64_t number = 1; number <= instance.reached; ++number) {
      // Until it is done, no run of the stage may be there yet.
      runs.push_back({number, 1, false, member_todo_of(wanted, number), wanted.partition});
      for (const auto& name : instance.members) {
        member.user = name;
        member.partition = user_partition(wanted.partition.substr(0, wanted.partition.find('/')), name);
        runs.push_back(
            {number, 1, false, run_key_of(member, task.stage(number), number, 1, false), member.partition});
      }
    }
    return runs;
  }
  for (const auto number : instance.untracked())
    runs.push_back(
        {number, 1, false, run_key_of(wanted, task.stage(number), number, 1, false), wanted.partition});
  for (const auto& grant : instance.grants) {
    const bool revoked = grant.state == Grant::State::revoked;
    if (!revoked && grant.state != Grant::State::granted) continue;
    const auto& stage = task.stage(grant.stage);
    runs.push_back({grant.stage, grant.generation, false,
                    run_key_of(wanted, stage, grant.stage, grant.generation, false), wanted.partition});
    if (revoked)
      runs.push_back({grant.stage, grant.generation, true,
                      run_key_of(wanted, stage, grant.stage, grant.generation, true), wanted.partition});
  }
  return runs;
}

using Known = std::map<std::string, std::optional<Record>, std::less<>>;

/// The status once the rewards' runs are looked at: what only they know.
void resolve(InstanceView& view, const CompiledTask& task) {
  if (view.status != Status::rewarding) return;
  const auto is = [&](RunState state) {
    return std::find_if(view.grants.begin(), view.grants.end(), [&](const GrantView& grant) {
      return grant.state == "granted" && grant.run == state;
    });
  };
  const bool waits = std::any_of(view.grants.begin(), view.grants.end(),
                                 [](const GrantView& grant) { return grant.state == "waiting"; });
  if (waits || is(RunState::running) != view.grants.end()) return;
  auto trigger = Trigger::reward_done;
  if (const auto exhausted = is(RunState::needs_attention); exhausted != view.grants.end()) {
    trigger = Trigger::reward_exhausted;
    view.reason = "retry_exhausted";
  } else {
    for (const auto state : {RunState::failed, RunState::cancelled}) {
      const auto failed = is(state);
      if (failed == view.grants.end()) continue;
      trigger = Trigger::reward_failed;
      view.reason = failed->reason;
      break;
    }
  }
  const MoveFacts facts{view.reached == static_cast<std::int64_t>(task.stages.size())};
  if (const auto* found = find_move(view.status, trigger, facts)) view.status = found->to;
}

Result<InstanceView> view_of(const ViewWanted& wanted, const Instance& instance, const CompiledTask& task,
                             const Known& known) {
  InstanceView view{wanted.task,       instance.version,      wanted.cycle,    instance.progress,
                    instance.reached,  instance.status,       instance.reason, current_run(instance, task),
                    instance.deadline, instance.collect_until};
  view.members = instance.members;
  for (const auto number : instance.untracked())
    view.grants.push_back({number, 1, grant_states[static_cast<std::size_t>(Grant::State::granted)]});
  for (const auto& grant : instance.grants) {
    view.grants.push_back(
        {grant.stage, grant.generation, grant_states[static_cast<std::size_t>(grant.state)]});
  }
  std::stable_sort(view.grants.begin(), view.grants.end(),
                   [](const GrantView& a, const GrantView& b) { return a.stage < b.stage; });
  // A run whose record is gone has succeeded: no other ever goes.
  for (auto& grant : view.grants) {
    if (grant.state == "granted") grant.run = RunState::succeeded;
  }
  for (const auto& run : runs_of(wanted, instance, task)) {
    const auto found = known.find(run.key);
    if (found == known.end() || !found->second) continue;
    if (found->first.starts_with(todo_prefix)) {
      for (auto& grant : view.grants) {
        if (grant.stage == run.stage) grant.run = RunState::running;
      }
      continue;
    }
    auto stored = decode_run_view(*found->second);
    if (!stored) return fail(std::move(stored).error());
    for (auto& grant : view.grants) {
      if (grant.stage != run.stage) continue;
      // Until a reward can be taken back, its own run says what keeps it: told after it, the other one
      // counts.
      const bool own = grant.state == "revoked" && !run.revoked;
      if (wanted.user.empty() && urgency(stored->state) <= urgency(grant.run)) continue;
      if (own && stored->state != RunState::needs_attention) continue;
      grant.run = stored->state;
      grant.reason = stored->reason;
      grant.owed = run.revoked && stored->state != RunState::succeeded && stored->state != RunState::running;
    }
  }
  resolve(view, task);
  return view;
}

/// An instance from its own record or from the board; nothing where it is on neither.
Result<std::optional<Instance>> stands_in(std::span<const BoardEntry> board, const std::optional<Record>& own,
                                          std::string_view key) {
  if (own) {
    auto instance = decode_instance(*own);
    if (!instance) return fail(std::move(instance).error());
    return std::optional(*std::move(instance));
  }
  const auto* entry = find_on(board, name_on_board(key));
  return entry == nullptr ? std::optional<Instance>() : std::optional(entry->instance());
}

}  // namespace

bool has_stopped(const GrantView& grant) noexcept {
  const bool issued = grant.state == "granted" || grant.state == "revoked";
  return issued && (grant.run == RunState::failed || grant.run == RunState::needs_attention);
}

Result<std::vector<std::optional<InstanceView>>> read_views(Storage& storage,
                                                            std::span<const ViewWanted> wanted) {
  std::vector<std::string> keys;
  std::vector<std::size_t> counts;
  for (const auto& view : wanted) {
    const auto before = keys.size();
    keys.push_back(instance_key(view.task, view.cycle));
    if (const auto* task = view.merchant->in_force(view.task); task != nullptr && !view.user.empty()) {
      for (std::size_t i = 0; i < task->stages.size(); ++i) {
        const auto number = static_cast<std::int64_t>(i) + 1;
        keys.push_back(run_key_of(view, task->stages[i], number, 1, false));
      }
    }
    counts.push_back(keys.size() - before);
  }
  std::vector<RecordRef> refs;
  refs.reserve(keys.size());
  // A user's board is read at one moment with what stands beside it.
  const auto begins_user = [&](std::size_t i) {
    return i == 0 || wanted[i].partition != wanted[i - 1].partition;
  };
  for (std::size_t i = 0, next = 0; i < wanted.size(); ++i) {
    if (begins_user(i)) refs.push_back({wanted[i].partition, board_key});
    for (std::size_t k = 0; k < counts[i]; ++k) refs.push_back({wanted[i].partition, keys[next++]});
  }
  auto stored = read_all(storage, refs);
  if (!stored) return fail(std::move(stored).error());
  std::vector<std::optional<Instance>> instances(wanted.size());
  std::vector<Known> known(wanted.size());
  std::vector<std::pair<std::size_t, RunWanted>> missing;
  std::span<std::optional<Record>> records(*stored);
  std::pmr::vector<BoardEntry> board;
  for (std::size_t i = 0, next = 0; i < wanted.size(); next += counts[i], ++i) {
    if (begins_user(i)) {
      board.clear();
      if (records.front()) {
        if (auto read = decode_board(*records.front(), board); !read) return fail(std::move(read).error());
      }
      records = records.subspan(1);
    }
    const auto of_view = records.first(counts[i]);
    records = records.subspan(counts[i]);
    auto instance = stands_in(board, of_view.front(), keys[next]);
    if (!instance) return fail(std::move(instance).error());
    if (!*instance) continue;
    for (std::size_t k = 1; k < counts[i]; ++k) known[i].emplace(keys[next + k], std::move(of_view[k]));
    if (const auto* task = wanted[i].merchant->find(wanted[i].task, (*instance)->version)) {
      for (auto& run : runs_of(wanted[i], **instance, *task)) {
        if (!known[i].contains(run.key)) missing.emplace_back(i, std::move(run));
      }
    }
    instances[i] = **std::move(instance);
  }
  refs.clear();
  for (const auto& [place, run] : missing) refs.push_back({run.partition, run.key});
  auto more = read_all(storage, refs);
  if (!more) return fail(std::move(more).error());
  for (std::size_t i = 0; i < missing.size(); ++i)
    known[missing[i].first].insert_or_assign(missing[i].second.key, std::move((*more)[i]));
  std::vector<std::optional<InstanceView>> views(wanted.size());
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    if (!instances[i] || instances[i]->status == Status::not_taken) continue;
    const auto* task = wanted[i].merchant->find(wanted[i].task, instances[i]->version);
    if (task == nullptr) {
      views[i] = InstanceView{wanted[i].task,         instances[i]->version, wanted[i].cycle,
                              instances[i]->progress, instances[i]->reached, instances[i]->status,
                              instances[i]->reason};
      continue;
    }
    auto view = view_of(wanted[i], *instances[i], *task, known[i]);
    if (!view) return fail(std::move(view).error());
    views[i] = *std::move(view);
  }
  return views;
}

Result<std::vector<std::string>> unrewarded(Storage& storage, const MerchantIndex& merchant,
                                            std::string_view merchant_name, std::string_view user,
                                            std::span<const std::string> tasks, Timestamp at) {
  std::vector<ViewWanted> wanted;
  for (const auto& id : tasks) {
    const auto* task = merchant.in_force(id);
    wanted.push_back({&merchant, user_partition(merchant_name, user), std::string(user), id,
                      task == nullptr ? "-" : task->calendar.cycle_of(at)});
  }
  const auto views = read_views(storage, wanted);
  if (!views) return fail(views.error());
  std::vector<std::string> missing;
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    const auto& view = (*views)[i];
    if (!view || view->status != Status::rewarded) missing.push_back(tasks[i]);
  }
  return missing;
}

}  // namespace onceward::task_detail
