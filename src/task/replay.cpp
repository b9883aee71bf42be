#include <onceward/core/ids.hpp>

#include "pipeline/storable.hpp"
#include "task/center_state.hpp"
#include "task/chores.hpp"

#include <fmt/format.h>

#include <algorithm>

// What operators push on.
namespace onceward {

using task_detail::ReplayWalk;

namespace {

constexpr std::size_t most_looked_at = 100'000;
constexpr std::size_t records_at_once = 256;
constexpr std::size_t most_actor = 128;
constexpr std::size_t most_reason = 1024;

Result<void> check_replay(const ReplayRequest& request) {
  const auto refuse = [](std::string_view why) {
    return fail(ErrorCode::invalid_argument, fmt::format("replay: {}", why));
  };
  const bool signed_by = !request.actor.empty() && !request.reason.empty();
  if (request.force && !signed_by) return refuse("forced, it needs an actor and a reason");
  if (request.user.empty() && !signed_by) return refuse("for all users it needs an actor and a reason");
  const bool stored = pipeline_detail::is_storable(Value(request.actor)) &&
                      pipeline_detail::is_storable(Value(request.reason));
  if (!stored || request.actor.size() > most_actor || request.reason.size() > most_reason)
    return refuse("its actor and reason must be UTF-8 of at most 128 and 1024 bytes");
  if (request.page == 0 || request.page > most_looked_at) return refuse("its page must be 1 to 100000");
  if (request.limit && *request.limit == 0) return refuse("its limit must be 1 or more");
  for (const auto state : request.states) {
    if (state == Status::failed || state == Status::terminated || state == Status::expired) continue;
    return refuse(fmt::format("what is {} cannot be pushed on", to_string(state)));
  }
  return {};
}

bool has_code(std::string_view reason, std::string_view code) noexcept {
  if (!reason.starts_with(code)) return false;
  const auto rest = reason.substr(code.size());
  return rest.empty() || rest[0] == ':' || rest[0] == ' ';
}

/// When it stopped: of what was written last.
bool in_time(const ReplayRequest& request, Revision written) noexcept {
  const Timestamp at{Duration(written)};
  return (!request.stopped_from || at >= *request.stopped_from) &&
         (!request.stopped_until || at < *request.stopped_until);
}

Cause cause_of(const Error& error) {
  const auto code = error.code == ErrorCode::wrong_state ? "undone"
                    : error.code == ErrorCode::exhausted ? "exhausted"
                                                         : "corrupt";
  return {code, error.message};
}

Cause moved_meanwhile() { return {"moved", "another one was faster; nothing was done"}; }
Cause not_published(std::string_view task, std::string_view version) {
  return {"not_published", fmt::format("version \"{}\" of task \"{}\" is not known here", version, task)};
}

/// Whether it may have stopped, by its record alone: most have not, and are not looked at further.
bool may_have_stopped(const task_detail::Instance& instance) noexcept {
  return instance.status == Status::terminated || instance.status == Status::expired ||
         instance.reached > 0 || !instance.grants.empty();
}

/// Instances as they stand; one that cannot be read keeps no other from it.
Result<std::vector<Result<std::optional<InstanceView>>>> views_of(
    Storage& storage, std::span<const task_detail::ViewWanted> wanted) {
  std::vector<Result<std::optional<InstanceView>>> views;
  auto all = task_detail::read_views(storage, wanted);
  if (all) {
    for (auto& view : *all) views.emplace_back(std::move(view));
    return views;
  }
  if (all.error().code != ErrorCode::corrupt) return fail(std::move(all).error());
  for (const auto& one : wanted) {
    auto view = task_detail::read_views(storage, {&one, 1});
    if (view) {
      views.emplace_back(std::move(view->front()));
    } else if (view.error().code == ErrorCode::corrupt) {
      views.emplace_back(fail(std::move(view).error()));
    } else {
      return fail(std::move(view).error());
    }
  }
  return views;
}

}  // namespace

Result<ReplayReport> TaskCenter::replay(const ReplayRequest& request) {
  if (auto fine = check_replay(request); !fine) return fail(std::move(fine).error());
  const auto index = state_->merchants.find(request.merchant);
  if (index == nullptr) {
    return fail(ErrorCode::not_found,
                fmt::format("the merchant \"{}\" has published no campaign", request.merchant));
  }
  ReplayWalk walk(state_->storage, *index, request.merchant, request.user, request.task);
  if (!request.cursor.empty()) {
    if (auto set = walk.go_on_from(request.cursor); !set) return fail(std::move(set).error());
  }
  State::Replaying replaying{request, *index};
  for (auto left = request.page; !walk.done() && left > 0 && !replaying.over();) {
    const auto page = walk.next(std::min(left, records_at_once));
    if (!page) return fail(page.error());
    left -= std::min(left, std::max<std::size_t>(1, page->records.size()));
    if (page->records.empty()) continue;
    auto last = state_->replay_page(replaying, *page);
    if (!last) return fail(std::move(last).error());
    if (*last != page->records.back().key) walk.go_on_behind(*std::move(last));
  }
  if (!walk.done()) replaying.report.cursor = walk.cursor();
  return std::move(replaying.report);
}

Result<std::vector<TaskCenter::State::Stopped>> TaskCenter::State::stopped_instances(
    Replaying& replaying, const ReplayWalk::Page& page) {
  const auto& request = replaying.request;
  std::vector<Stopped> found;
  std::vector<task_detail::ViewWanted> wanted;
  std::vector<std::pair<const Record*, task_detail::Instance>> looked;
  for (const auto& record : page.records) {
    const auto [task, cycle] = task_detail::parse_instance_key(record.key);
    if (!request.cycle.empty() && cycle != request.cycle) continue;
    auto instance = task_detail::decode_instance(record);
    if (!instance) {
      found.push_back({{page.user, std::string(task), std::string(cycle)}, &record});
      found.back().line.why = cause_of(instance.error());
    } else if (may_have_stopped(*instance)) {
      wanted.push_back({&replaying.index, page.partition, page.user, std::string(task), std::string(cycle)});
      looked.emplace_back(&record, *std::move(instance));
    }
  }
  const auto views = views_of(storage, wanted);
  if (!views) return fail(views.error());
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    const auto& [record, instance] = looked[i];
    Stopped stopped{{page.user, wanted[i].task, wanted[i].cycle}, record};
    if (!(*views)[i]) {
      stopped.line.why = cause_of((*views)[i].error());
      found.push_back(std::move(stopped));
      continue;
    }
    const auto& view = *(*views)[i];
    if (!view) continue;
    // By the record: a merchant's reason may be any word, those of rewards are the library's.
    stopped.ended = instance.status == Status::terminated || instance.status == Status::expired;
    stopped.cancelled = view->status == Status::failed;
    stopped.status = view->status;
    stopped.line.state = stopped.ended || stopped.cancelled ? view->status : Status::failed;
    stopped.line.reason = view->reason;
    if (!view->reason.empty()) stopped.reasons.push_back(view->reason);
    const auto* task = replaying.index.find(view->task, view->version);
    // What has to be taken back is owed whatever became of the instance since: it needs no force.
    const bool owed = stopped.ended && !request.force &&
                      std::any_of(view->grants.begin(), view->grants.end(), [](const GrantView& grant) {
                        return grant.state == "revoked" && task_detail::has_stopped(grant);
                      });
    stopped.moves = !owed && (stopped.status == Status::failed || stopped.status == Status::terminated);
    if (owed) {
      stopped.ended = false;
      stopped.line.state = Status::failed;
      stopped.line.reason.clear();
    }
    for (const auto& grant : view->grants) {
      if (!task_detail::has_stopped(grant) || task == nullptr || (owed && grant.state != "revoked")) continue;
      stopped.cancelled = false;
      if (!stopped.ended && grant.run == RunState::needs_attention) stopped.line.state = Status::terminated;
      if (stopped.line.reason.empty()) stopped.line.reason = grant.reason;
      stopped.reasons.push_back(grant.reason);
      const auto run_key =
          to_run_key({request.merchant, page.user, view->task, view->cycle, grant.stage, grant.generation});
      for (const bool back : {false, true}) {
        if (back && grant.state != "revoked") continue;
        for (const auto& pipeline : task_detail::pipelines_of(replaying.index, *task, grant.stage, back))
          stopped.runs.push_back(run_record_key(pipeline, run_key));
      }
    }
    if (stopped.ended || stopped.cancelled || !stopped.runs.empty()) found.push_back(std::move(stopped));
  }
  std::sort(found.begin(), found.end(),
            [](const Stopped& a, const Stopped& b) { return a.record->key < b.record->key; });
  return found;
}

/// Runs that no instance of the user leads to: rewards he has as a group's member, and what is owed of a
/// reward that was earned again, of which the instance keeps the latest generation alone.
Result<std::vector<TaskCenter::State::Stopped>> TaskCenter::State::stopped_runs(
    Replaying& replaying, const ReplayWalk::Page& page) {
  std::vector<Stopped> found;
  std::vector<std::optional<GrantKey>> single;  // of those found: the grant of one that is no member's
  const auto of_group = [&](const std::string& task) {
    const auto known = replaying.index.versions.find(task);
    return known != replaying.index.versions.end() &&
           std::any_of(known->second.begin(), known->second.end(),
                       [](const auto& version) { return version.second.task->group.has_value(); });
  };
  for (const auto& record : page.records) {
    const auto slash = record.key.find('/', record.key.find('/') + 1);
    const auto grant = parse_run_key(std::string_view(record.key).substr(slash + 1));
    if (!grant || (!replaying.request.cycle.empty() && grant->cycle != replaying.request.cycle)) continue;
    Stopped stopped{{page.user, grant->task, grant->cycle}, &record};
    const auto run = task_detail::decode_run_view(record);
    if (!run) {
      stopped.line.why = cause_of(run.error());
    } else if (run->state == RunState::succeeded || run->state == RunState::running) {
      continue;
    } else {
      stopped.cancelled = run->state == RunState::cancelled;
      if (run->state == RunState::needs_attention) stopped.line.state = Status::terminated;
      stopped.status = stopped.line.state;
      stopped.moves = true;
      stopped.line.reason = run->reason;
      stopped.reasons.push_back(run->reason);
      if (!stopped.cancelled) stopped.runs.push_back(record.key);
    }
    single.push_back(of_group(grant->task) ? std::nullopt : grant);
    found.push_back(std::move(stopped));
  }
  std::vector<std::string> keys;
  for (const auto& grant : single) {
    if (grant) keys.push_back(task_detail::instance_key(grant->task, grant->cycle));
  }
  std::vector<RecordRef> refs;
  for (const auto& key : keys) refs.push_back({page.partition, key});
  const auto stored = task_detail::read_all(storage, refs);
  if (!stored) return fail(stored.error());
  std::vector<Stopped> kept;
  for (std::size_t i = 0, next = 0; i < found.size(); ++i) {
    if (single[i]) {
      const auto& record = (*stored)[next++];
      const auto instance = record ? task_detail::decode_instance(*record)
                                   : Result<task_detail::Instance>(task_detail::Instance{});
      // One that cannot be read is told where instances are looked at.
      const auto* last = instance ? instance->grant_of(single[i]->stage) : nullptr;
      if (last == nullptr || last->generation == single[i]->generation || found[i].cancelled) continue;
      found[i].status = instance->status;
      found[i].moves = false;
    }
    kept.push_back(std::move(found[i]));
  }
  return kept;
}

Result<std::string> TaskCenter::State::replay_page(Replaying& replaying, const ReplayWalk::Page& page) {
  const auto& request = replaying.request;
  auto found = page.instances ? stopped_instances(replaying, page) : stopped_runs(replaying, page);
  if (!found) return fail(std::move(found).error());
  std::vector<RecordRef> refs;
  for (const auto& stopped : *found) {
    for (const auto& key : stopped.runs) refs.push_back({page.partition, key});
  }
  auto stored = task_detail::read_all(storage, refs);
  if (!stored) return fail(std::move(stored).error());
  auto next = stored->begin();
  std::string last;
  for (auto& stopped : *found) {
    const auto end = next + static_cast<std::ptrdiff_t>(stopped.runs.size());
    stopped.stored.assign(std::move_iterator(next), std::move_iterator(end));
    next = end;
    last = stopped.record->key;
    auto& line = stopped.line;
    const auto& states = request.states;
    if (!states.empty() && std::find(states.begin(), states.end(), line.state) == states.end()) continue;
    const bool coded = std::any_of(stopped.reasons.begin(), stopped.reasons.end(),
                                   [&](const auto& reason) { return has_code(reason, request.code); });
    if (!request.code.empty() && !coded) continue;
    auto written = stopped.ended || stopped.runs.empty() ? stopped.record->revision : absent;
    for (const auto& run : stopped.stored) {
      if (run && !stopped.ended) written = std::max(written, run->revision);
    }
    if (!in_time(request, written)) continue;
    if (!line.why) {
      auto why = push_on(request, page, stopped);
      if (!why) return fail(std::move(why).error());
      line.why = *std::move(why);
    }
    auto& lines = line.why ? replaying.report.refused : replaying.report.pushed;
    // Of a member's rewards of several stages one line tells, and so of an instance that left the board
    // between two reads.
    const auto others = std::find_if(lines.rbegin(), lines.rend(),
                                     [&](const Replayed& other) { return other.user != line.user; });
    const bool told = std::any_of(lines.rbegin(), others, [&](const Replayed& other) {
      return other.task == line.task && other.cycle == line.cycle;
    });
    if (!told) lines.push_back(line);
    if (replaying.over()) break;
  }
  const bool over = replaying.over();
  if (!over) last = page.records.back().key;
  replaying.report.looked_at += static_cast<std::size_t>(std::count_if(
      page.records.begin(), page.records.end(), [&](const auto& one) { return one.key <= last; }));
  return last;
}

Result<std::optional<Cause>> TaskCenter::State::push_on(const ReplayRequest& request,
                                                        const ReplayWalk::Page& page,
                                                        const Stopped& stopped) {
  const auto& line = stopped.line;
  const auto because = [](Cause cause) { return std::optional(std::move(cause)); };
  if (stopped.cancelled) return because({"cancelled", "an operator cancelled its reward"});
  if (stopped.ended && !request.force)
    return because({"needs_force", fmt::format("it is {}: {}", to_string(line.state), line.reason)});
  std::vector<Batch> batches;
  std::optional<Cause> refused;
  for (const auto& record : stopped.stored) {
    if (!record) continue;
    const auto run = task_detail::decode_run_view(*record);
    if (!run) return because(cause_of(run.error()));
    // Of a revoked reward either its own run or the one that takes it back has stopped.
    if (run->state != RunState::failed && run->state != RunState::needs_attention) continue;
    auto again = task_detail::push_on(*record, request.actor, request.reason, page.now);
    if (again) {
      batches.push_back({page.partition, {*std::move(again)}});
    } else {
      refused = cause_of(again.error());
    }
  }
  if (!stopped.ended && batches.empty()) return refused ? refused : because(moved_meanwhile());
  if (request.dry_run) return std::optional<Cause>();
  if (stopped.ended) {
    auto why = force_on(request, page.partition, line.user, *stopped.record, page.now);
    if (!why || *why) return why;
  }
  // What goes on beside a reward that stopped stays where it is; what ended was told as it was forced on.
  const task_detail::Line told{
      page.partition, task_detail::instance_key(line.task, line.cycle),   Trigger::replay,
      stopped.status, stopped.moves ? Status::rewarding : stopped.status, request.reason,
      request.actor};
  const auto pushed = task_detail::commit_all(storage, batches);
  if (!pushed) return fail(pushed.error());
  if (stopped.ended) return std::optional<Cause>();
  const bool any = std::any_of(pushed->begin(), pushed->end(), [](const auto& one) { return one.applied(); });
  if (!any) return because(moved_meanwhile());
  if (!options.store_only) {
    task_detail::tell(options.journal, {&told, 1});
  } else if (options.journal != nullptr) {
    // In a batch of its own, whichever of the runs were pushed on: the caller's transaction holds all of
    // them.
    const auto kept =
        commit_one(storage, {page.partition, {task_detail::tell_later(page.partition, {&told, 1})}});
    if (!kept) return fail(kept.error());
  }
  return std::optional<Cause>();
}

Result<std::optional<Cause>> TaskCenter::State::force_on(const ReplayRequest& request,
                                                         const std::string& partition,
                                                         const std::string& user, const Record& record,
                                                         Timestamp now) {
  const auto instance = task_detail::decode_instance(record);
  if (!instance) return fail(instance.error());
  const auto [task, cycle] = task_detail::parse_instance_key(record.key);
  const auto entry = merchants.find(request.merchant)->entry_of(task, instance->version);
  if (entry.task == nullptr) return std::optional(not_published(task, instance->version));
  task_detail::Act act{Trigger::replay, 0, request.actor, request.reason, true};
  const auto& quota = entry.task->definition->quota;
  if (quota && quota->at == QuotaAt::claim && instance->unit.empty()) {
    // A try of its own, as each claim's key is: what one took, another one never finds taken.
    const Request asked{request.merchant, user, std::string(task), new_owner_id(), std::string(cycle)};
    bool out_of_stock = false;
    auto unit = requests().take_unit_again(asked, entry, instance->claimed_at.value_or(now), out_of_stock);
    if (!unit) return fail(std::move(unit).error());
    if (out_of_stock)
      return std::optional(Cause{"out_of_stock", fmt::format("all {} are gone", quota->limit)});
    act.unit = *std::move(unit);
  }
  auto unit = act.unit;
  const auto moved = this->act(std::move(act), request.merchant, user, partition, record, now);
  // Not needed: another one was faster. Where this fails it lapses by itself.
  if (unit && (!moved || !moved->skipped.empty()))
    (void)task_detail::Chores(storage, runner, options).lapse({&*unit, 1});
  if (!moved) return fail(moved.error());
  if (moved->skipped.empty()) return std::optional<Cause>();
  const auto stands = read_one(storage, partition, record.key);
  if (!stands) return fail(stands.error());
  if (!*stands || (*stands)->revision != record.revision) return std::optional(moved_meanwhile());
  return std::optional(Cause{"nothing_left", "nothing of it is left to go on with"});
}

}  // namespace onceward
