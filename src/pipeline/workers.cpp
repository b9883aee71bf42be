// Runs that are found by their due times: what a worker takes, in which order, and whom it tells.
#include <onceward/pipeline/runner.hpp>

#include "pipeline/driver.hpp"
#include "pipeline/runner_state.hpp"
#include "storage/due_of.hpp"

#include <algorithm>
#include <utility>

namespace onceward {

using pipeline_detail::Held;

namespace {

/// For so long a page of due records is rid of what hides others: runs that this process cannot take, and
/// runs over their pipeline's limit.
constexpr Duration strange_pause = std::chrono::minutes(1);
constexpr Duration crowd_pause = std::chrono::seconds(1);

}  // namespace

std::vector<std::vector<Held*>> Runner::State::groups_of(
    const std::vector<std::unique_ptr<Held>>& taken) const {
  std::vector<std::vector<Held*>> groups;
  std::vector<Held*> together;
  for (const auto& held : taken) {
    if (deaths_of(held->run) > 1) continue;
    together.push_back(held.get());
    if (together.size() == options.span) groups.push_back(std::exchange(together, {}));
  }
  if (!together.empty()) groups.push_back(std::move(together));
  for (const auto& held : taken) {
    if (deaths_of(held->run) > 1) groups.push_back({held.get()});
  }
  return groups;
}

Result<WorkReport> Runner::work(std::size_t limit) { return state_->work(limit, {}); }

bool Runner::State::take(const std::string& partition, Record& record, Timestamp now, WorkReport& report,
                         std::vector<std::unique_ptr<Held>>& taken) {
  auto run = pipeline_detail::decode_run(record);
  const auto head = run ? run_record_key(run->pipeline, "") : std::string();
  if (!run || !record.key.starts_with(head)) {
    ++report.corrupt;
    return false;
  }
  auto plan = catalog.find(run->pipeline, run->version, run->plan);
  if (!plan || (plan->compiled().has_rows && !options.transactions)) {
    ++report.unknown_plans;
    return false;
  }
  if (run->state != RunState::running || !fits(*run, plan->compiled())) {
    ++report.corrupt;
    return false;
  }
  anchor(*run, record);
  run->owner = driver.new_owner();
  run->serial = 0;
  auto key = record.key.substr(head.size());
  taken.push_back(std::make_unique<Held>(
      Held{*std::move(plan), *std::move(run), partition, std::move(key), record.key, record.revision}));
  auto& held = *taken.back();
  held.stored = std::move(record);
  held.hear(now);
  take_over(held.run, held.plan.compiled());
  held.advance_to_calls();
  return true;
}

/// Nothing about the runs changes but their due time. Who has one in hand meets the write as a renewal.
Result<void> Runner::State::put_off(std::span<const PutOff> records, Duration pause) {
  std::vector<Batch> batches;
  for (const auto& [partition, record] : records) {
    auto value = record->value;
    if (auto run = pipeline_detail::decode_run(*record)) {
      anchor(*run, *record);
      run->due_in = pause.count();
      value = encode(*run);
    }
    if (value.size() <= limits::value_bytes)
      batches.push_back(
          {*partition, {Operation::replace(record->key, record->revision, std::move(value), {pause, {}})}});
  }
  for (std::size_t first = 0; first < batches.size(); first += options.span) {
    const auto some = std::span(batches).subspan(first, std::min(options.span, batches.size() - first));
    if (auto written = storage.commit(some); !written) return fail(std::move(written).error());
  }
  return {};
}

Result<WorkReport> Runner::State::work(std::size_t limit, const std::stop_token& stop) {
  const auto is_run = [](const DuePage::Entry& entry) {
    return entry.record.key.starts_with(pipeline_detail::run_prefix);
  };
  auto looked = storage_detail::due_of(storage, limit, is_run);
  if (!looked) return fail(std::move(looked).error());
  auto* const due = &looked->page;
  WorkReport report;
  const auto look_again_at = [&](Timestamp time) {
    const Duration wait = std::max(Duration::zero(), Duration(time - due->now));
    report.next_in = std::min(report.next_in.value_or(wait), wait);
  };
  // What others leave due is no reason to look again at once.
  if (due->next && !looked->full) look_again_at(*due->next);
  std::vector<std::unique_ptr<Held>> candidates;
  std::vector<PutOff> strange;
  for (auto& entry : due->entries) {
    if (is_run(entry) && !take(entry.partition, entry.record, due->now, report, candidates))
      strange.push_back({&entry.partition, &entry.record});
  }
  std::stable_sort(candidates.begin(), candidates.end(), [](const auto& a, const auto& b) {
    return a->plan.definition().priority > b->plan.definition().priority;
  });
  const Places places(*this, candidates);
  std::vector<std::unique_ptr<Held>> taken;
  std::vector<PutOff> crowd;
  for (auto& candidate : candidates) {
    if (taken.size() < limit && places.has(*candidate)) {
      taken.push_back(std::move(candidate));
      continue;
    }
    look_again_at(due->now);
    if (!places.has(*candidate)) crowd.push_back({&candidate->partition, &candidate->stored});
  }
  if (looked->full) {
    if (auto later = put_off(strange, strange_pause); !later) return fail(std::move(later).error());
    if (auto later = put_off(crowd, crowd_pause); !later) return fail(std::move(later).error());
  }
  for (auto& group : groups_of(taken)) {
    // The takeover is a write that expects the revision seen: of two workers one wins.
    if (auto won = driver.record(group); !won) return fail(std::move(won).error());
    std::erase_if(group, [](const Held* run) { return run->lost.has_value(); });
    report.taken += group.size();
    if (auto driven = drive(group, stop); !driven) return fail(std::move(driven).error());
    for (const auto* run : group) {
      if (run->run.state != RunState::running) ++report.ended;
      if (run->due) look_again_at(*run->due);
    }
  }
  return report;
}

void Runner::on_attention(std::function<void(const RunView&)> callback) {
  const std::lock_guard lock(state_->mutex);
  state_->on_attention = std::move(callback);
}

void Runner::on_error(std::function<void(const Error&)> callback) {
  const std::lock_guard lock(state_->mutex);
  state_->on_error = std::move(callback);
}

void Runner::observe(std::weak_ptr<RunObserver> observer) {
  const std::lock_guard lock(state_->mutex);
  std::erase_if(state_->observers, [](const auto& known) { return known.expired(); });
  state_->observers.push_back(std::move(observer));
}

void Runner::State::wake_workers() {
  {
    const std::lock_guard lock(mutex);
    ++wakes;
  }
  wake.notify_all();
}

void Runner::State::tell_observers(std::span<const RunMove> moves) {
  std::vector<std::weak_ptr<RunObserver>> told;
  {
    const std::lock_guard lock(mutex);
    told = observers;
  }
  for (const auto& known : told) {
    if (const auto observer = known.lock()) observer->moved(moves);
  }
}

void Runner::State::tell(std::span<Held* const> runs) {
  for (const auto* held : runs) tell(*held);
  {
    const std::lock_guard lock(mutex);
    if (observers.empty()) return;
  }
  std::vector<RunMove> moves;
  for (const auto* held : runs) {
    if (held->state() == RunState::running || held->lost || !held->end_recorded) continue;
    moves.push_back({{held->run.pipeline, held->partition, held->key},
                     RunState::running,
                     held->run.state,
                     {},
                     held->run.reason});
  }
  if (!moves.empty()) tell_observers(moves);
}

void Runner::State::tell(const Held& held) {
  if (held.state() == RunState::running || (!held.lost && !held.end_recorded)) return;
  if (options.journal != nullptr && !held.lost) {
    options.journal->write({.room = "pipeline",
                            .partition = held.partition,
                            .subject = held.record_key,
                            .trigger = "worker",
                            .from = to_string(RunState::running),
                            .to = to_string(held.run.state),
                            .reason = held.run.reason});
  }
  if (held.state() == RunState::needs_attention)
    call_back(&State::on_attention, held.view(), held.record_key);
}

template <class Argument>
void Runner::State::call_back(std::function<void(const Argument&)> State::*callback, const Argument& argument,
                              std::string_view subject) {
  std::function<void(const Argument&)> copy;
  {
    const std::lock_guard lock(mutex);
    copy = this->*callback;
  }
  if (!copy) return;
  std::string thrown;
  try {
    copy(argument);
    return;
  } catch (const std::exception& exception) {
    thrown = exception.what();
  } catch (...) {
    thrown = "an exception that is no std::exception";
  }
  if (options.journal != nullptr)
    options.journal->write({.room = "pipeline",
                            .subject = subject,
                            .trigger = "callback",
                            .reason = "a callback of the application threw: " + thrown});
}

void Runner::State::work_until(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    const auto seen = [&] {
      const std::lock_guard lock(mutex);
      return wakes;
    }();
    const auto report = work(options.span, stop);
    if (!report) call_back(&State::on_error, report.error(), {});
    // A storage that is down is asked again after the usual sleep; nothing is lost meanwhile.
    Duration pause = options.idle_poll;
    if (report && report->next_in) pause = std::min(pause, *report->next_in);
    if (report && report->taken > 0) pause = Duration::zero();
    std::unique_lock lock(mutex);
    wake.wait_for(lock, stop, pause, [&] { return wakes != seen; });
  }
}

void Runner::start_workers() {
  const std::lock_guard lock(state_->mutex);
  auto& crew = state_->crew;
  if (!crew.threads.empty()) return;
  for (unsigned i = 0; i < state_->options.workers; ++i) {
    crew.threads.emplace_back([this, stop = crew.stop.get_token()] { state_->work_until(stop); });
  }
}

void Runner::stop_workers() {
  // Who stops them while another one does waits as long: nobody is told that they have stopped before that.
  const std::lock_guard one(state_->stopping);
  pipeline_detail::Crew crew;
  const std::lock_guard lock(state_->mutex);
  std::swap(crew, state_->crew);
}

}  // namespace onceward
