// Rounds of calls: what is called, whose leases are kept meanwhile, and what comes after.
#include "pipeline/driver.hpp"

#include <algorithm>
#include <array>
#include <iterator>

namespace onceward::pipeline_detail {
namespace {

/// What is shorter is no time that anybody configured.
constexpr auto shortest_time = std::chrono::milliseconds(100);
/// So long the runs beside a call wait for it; then other workers may have them.
constexpr auto longest_hold = std::chrono::milliseconds(100);

bool in_rows(const Held* held) {
  return held->calls.front().node->entry->spec.effect == Effect::tx &&
         held->calls.front().kind != Call::Kind::verify;
}

/// Whether its time is to be asked for at all.
bool is_bounded(const Run& run, const Call& call) {
  const auto& written = *call.node->definition;
  return run.deadline.set() || written.timeout > Duration::zero() || written.total > Duration::zero();
}

}  // namespace

void Held::hear(Timestamp time, std::chrono::steady_clock::time_point at) noexcept {
  now = time;
  heard = at;
}

Timestamp Held::time(std::chrono::steady_clock::time_point at) const noexcept {
  if (now == Timestamp{}) return now;
  const auto passed = at - heard;
  return passed < shortest_time ? now : now + std::chrono::duration_cast<Duration>(passed);
}

Driver::Driver(Storage& storage, const RunnerOptions& options, std::string owner)
    : storage_(storage),
      options_(options),
      owner_(std::move(owner)),
      keeper_(options.lease / 3),
      timer_(options.lease) {
  for (const auto& [name, most] : options.limits) {
    if (name.find('@') != std::string::npos) gates_.try_emplace(name, std::max<std::size_t>(most, 1));
  }
}

Driver::Leased::Leased(Driver& driver, std::span<Held*> runs, Keeper::Clock::time_point from,
                       const std::stop_token& stop, const Held* except)
    : driver_(driver) {
  std::copy_if(runs.begin(), runs.end(), std::back_inserter(runs_),
               [&](const Held* held) { return held != except; });
  // Whoever drives runs inline waits for their ends; a worker has others beside it.
  const bool has_others = stop.stop_possible() && runs.size() > 1;
  if (runs_.empty() || (!driver.options_.renew && !has_others)) return;
  group_.renewed = from;
  group_.give_up = Keeper::Clock::time_point::min();
  if (driver.options_.renew) {
    group_.renew = [this] { driver_.renew(runs_); };
    group_.give_up = from + driver.options_.longest_call;
  }
  if (has_others) {
    group_.let_go = [this] { driver_.let_go(runs_); };
    group_.let_go_at = from + longest_hold;
  }
  entered_ = true;
  driver_.keeper_.enter(group_);
  if (has_others) at_stop_.emplace(stop, Hurry{driver_.keeper_, group_});
}

Driver::Leased::~Leased() {
  at_stop_.reset();
  if (entered_) driver_.keeper_.leave(group_);
}

Result<void> Driver::drive(std::span<Held*> runs, const std::stop_token& stop) {
  // A new run could not know the time: what it waits for may have come.
  std::vector<Held*> blind;
  std::copy_if(runs.begin(), runs.end(), std::back_inserter(blind),
               [](const Held* held) { return held->next.blind && !held->lost; });
  if (!blind.empty()) {
    if (auto looked = look_again(blind); !looked) return looked;
  }
  std::vector<Held*> active(runs.begin(), runs.end());
  std::vector<Held*> rest;  // their calls were not made in the last round: they are first
  const auto settled = [](const Held* held) {
    return held->lost.has_value() || held->next.kind != Move::Kind::call;
  };
  for (std::erase_if(active, settled); !active.empty(); std::erase_if(active, settled)) {
    if (stop.stop_requested()) {
      release_all(active);
      return record(active);
    }
    std::vector<Held*> turnless;
    std::copy_if(active.begin(), active.end(), std::back_inserter(turnless),
                 [](const Held* held) { return !held->run.turn.empty() && held->run.turn_revision == 0; });
    if (!turnless.empty()) {
      if (auto recorded = record(turnless); !recorded) return recorded;
      continue;
    }
    const auto row = std::find_if(active.begin(), active.end(), in_rows);
    if (row != active.end()) {
      auto& held = **row;
      std::erase(rest, &held);
      if (auto called = call_in_transaction(held, active, stop); !called) return called;
      continue;
    }
    std::erase_if(rest, settled);
    auto round = rest.empty() ? active : std::exchange(rest, {});
    if (auto driven = drive_round(round, active, rest, stop); !driven) return driven;
  }
  return {};
}

Result<void> Driver::drive_round(std::span<Held*> runs, std::span<Held*> leased, std::vector<Held*>& rest,
                                 const std::stop_token& stop) {
  // The clock is read once before the calls and once after each: a step may be shorter than a look at it.
  auto now = Keeper::Clock::now();
  auto calls = ready_of(runs, now);
  {
    Leased kept(*this, leased, now, stop);
    now = call(kept, calls, now, stop);
  }
  for (auto* held : leased) held->calling = false;
  std::vector<Held*> called;
  for (auto& item : calls) {
    (item.made ? called : rest).push_back(item.held);
    if (item.made) take_in(item, now, stop);
  }
  for (auto* held : called) move_on(*held, now, stop);
  return called.empty() ? Result<void>() : record(called);
}

std::vector<Driver::Ready> Driver::ready_of(std::span<Held*> runs, Keeper::Clock::time_point now) const {
  std::vector<Ready> calls;
  calls.reserve(runs.size());
  for (auto* held : runs) {
    for (const auto& call : held->calls) {
      const auto token = [&](std::string_view act) {
        return step_token(options_.name_space, held->run.pipeline, held->partition, held->key, call.path,
                          act);
      };
      const bool undo = call.kind == Call::Kind::undo;
      calls.push_back(
          {held, &call, token(undo ? "undo" : "do"), undo ? token("do") : std::string(),
           is_bounded(held->run, call) ? time_left(held->run, call, held->time(now)) : std::nullopt});
    }
  }
  // Calls of one step stand together, so that a downstream that takes many at once gets them at once.
  const auto by_step = [](const Ready& a, const Ready& b) {
    return std::pair(a.call->node->entry, a.call->kind) < std::pair(b.call->node->entry, b.call->kind);
  };
  if (!std::is_sorted(calls.begin(), calls.end(), by_step))
    std::stable_sort(calls.begin(), calls.end(), by_step);
  return calls;
}

void Driver::take_in(Ready& item, Keeper::Clock::time_point now, const std::stop_token& stop) {
  auto& run = item.held->run;
  if (item.found) return apply(run, *item.call, std::move(*item.found));
  if (stop.stop_requested() && run.state == RunState::running) {
    // A step that heeds the stop is tried again by others, and uses up nothing.
    if (const auto* unknown = std::get_if<Unknown>(&item.outcome))
      return release(*item.call, true, unknown->reason, run);
    if (std::holds_alternative<Park>(item.outcome)) return release(*item.call, true, {}, run);
    const auto* retry = std::get_if<Retry>(&item.outcome);
    if (retry != nullptr && !retry->after) return release(*item.call, false, retry->reason, run);
  }
  const bool done = std::holds_alternative<Done>(item.outcome);
  apply(run, *item.call, std::move(item.outcome), done ? 0 : random_chance(), item.held->time(now));
}

void Driver::move_on(Held& held, Keeper::Clock::time_point now, const std::stop_token& stop) const {
  held.made.clear();
  for (auto& made : held.calls) held.made.push_back(std::move(made.path));
  if (held.run.state == RunState::running) {
    held.advance_to_calls(now);
  } else {
    held.next = {};
    held.calls.clear();
  }
  // What would be called next is left to others at once.
  if (stop.stop_requested()) release_all(std::array{&held});
}

void Driver::release_all(std::span<Held* const> runs) const {
  for (auto* held : runs) {
    if (held->next.kind != Move::Kind::call) continue;
    for (const auto& call : held->calls) release(call, false, {}, held->run);
    held->calls.clear();
    held->next = {Move::Kind::wait, Duration::zero()};
  }
}

/// On the keeper's thread: runs that wait for a slow call of another one are released, as at a stop. Where
/// the write fails, or its answer is lost, they are found again when their leases end.
void Driver::let_go(std::span<Held*> runs) {
  std::vector<Held*> idle;
  std::copy_if(runs.begin(), runs.end(), std::back_inserter(idle), [](const Held* held) {
    return !held->calling && !held->lost && held->next.kind == Move::Kind::call;
  });
  if (idle.empty()) return;
  release_all(idle);
  std::vector<Batch> batches;
  for (auto* held : idle) {
    ++held->run.serial;
    batches.push_back(batch_of(*held));
    held->lost = view_of(held->run, held->partition, held->key, std::nullopt);
  }
  (void)storage_.commit(batches);
  if (on_let_go_) on_let_go_();
}

/// On the keeper's thread: the runs are within calls, and nobody else touches them.
void Driver::renew(std::span<Held*> runs) {
  std::vector<Batch> batches;
  std::vector<Held*> renewed;
  for (auto* held : runs) {
    if (held->lost) continue;
    held->run.due_in = options_.lease.count();
    batches.push_back({held->partition,
                       {Operation::replace(held->record_key, held->revision, encode(held->run),
                                           {.due_in = options_.lease})}});
    renewed.push_back(held);
  }
  if (batches.empty()) return;
  const auto committed = storage_.commit(batches);
  if (!committed)
    return;  // asked again soon; a write whose answer was lost is recognised when the run is recorded
  for (std::size_t i = 0; i < renewed.size(); ++i) {
    auto& held = *renewed[i];
    const auto& answer = committed->batches[i];
    if (answer.applied()) {
      held.revision = answer.revision;
      anchor(held.run, committed->now);
      held.hear(committed->now);
      continue;
    }
    // A signal was sent meanwhile; else the run is lost, which its next write will show.
    if (!answer.found) continue;
    const auto other = decode_run(*answer.found);
    if (other && other->owner == held.run.owner && other->serial == held.run.serial) {
      held.revision = answer.found->revision;
      adopt_requests(held.run, *other);
    }
  }
}

}  // namespace onceward::pipeline_detail
