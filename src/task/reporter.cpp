#include "task/reporter.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <unordered_map>
#include <unordered_set>

namespace onceward::task_detail {
namespace {

/// Notes in a receipt how a grant stands; a call without receipts (work) passes none.
GrantReceipt* grant_at(std::span<Result<Receipt>> answers, std::size_t place, std::size_t grant) {
  if (place >= answers.size() || !answers[place] || grant >= answers[place]->grants.size()) return nullptr;
  return &answers[place]->grants[grant];
}

Error conflict_of(const PendingEvent& event, std::size_t rounds) {
  return {ErrorCode::timeout,
          fmt::format("event \"{}\" of user \"{}\" met other callers {} times in a row; nothing was "
                      "applied, send it again",
                      event.event->id, event.event->user, rounds)};
}

/// As Storage::read, of any number of records.
Result<std::vector<std::optional<Record>>> read_all(Storage& storage, std::span<const RecordRef> refs) {
  std::vector<std::optional<Record>> records;
  records.reserve(refs.size());
  while (!refs.empty()) {
    const auto some = std::min(refs.size(), limits::span_reads);
    auto stored = storage.read(refs.first(some));
    if (!stored) return fail(std::move(stored).error());
    std::move(stored->records.begin(), stored->records.end(), std::back_inserter(records));
    refs = refs.subspan(some);
  }
  return records;
}

}  // namespace

void Reporter::report(std::vector<PendingEvent> events, std::span<Result<Receipt>> answers) {
  std::vector<PendingEvent*> waiting;
  waiting.reserve(events.size());
  for (auto& event : events) waiting.push_back(&event);
  Started started;
  started.runs.reserve(events.size());
  for (std::size_t conflicts = 0; !waiting.empty(); ++conflicts) {
    const auto before = waiting.size();
    if (conflicts > options_.conflict_retries) {
      for (const auto* event : waiting) answers[event->place] = fail(conflict_of(*event, conflicts));
      break;
    }
    apply_round(waiting, answers, started);
    if (waiting.size() < before) conflicts = 0;
  }
  // What follows is durable already: where the storage fails now, work() finishes it, and the receipts say
  // running.
  if (auto recalled = recall(started.known, answers, started.units); !recalled) {
    for (const auto& known : started.known) answers[known.place] = fail(recalled.error());
  }
  std::sort(started.units.begin(), started.units.end(), [](const WaitingUnit& a, const WaitingUnit& b) {
    return std::tie(a.place, a.grant) < std::tie(b.place, b.grant);
  });
  (void)take_units(started.units, started.runs, answers);
  (void)drive(started.runs, answers);
  for (const auto& [place, first] : started.repeats) {
    answers[place] = answers[first];
    if (answers[place]) answers[place]->duplicate = true;
  }
}

void Reporter::apply_round(std::vector<PendingEvent*>& waiting, std::span<Result<Receipt>> answers,
                           Started& started) {
  std::vector<UserWork> users;
  users.reserve(waiting.size());
  std::unordered_map<std::string_view, std::size_t> by_partition;
  std::vector<PendingEvent*> later;
  std::unordered_set<std::string_view> full;
  std::size_t reads = 0;  // an upper bound of the records to read
  const auto take = [&](PendingEvent* event) {
    const auto more = 1 + event->candidates.size();
    // Once one event of a user has to wait, so do the ones after it: a user's events keep their order.
    if (full.contains(event->partition) || (reads != 0 && reads + more > limits::span_reads)) return false;
    const auto [known, fresh] = by_partition.try_emplace(event->partition, users.size());
    if (fresh) users.emplace_back(event->partition, runner_, options_.lease);
    if (!users[known->second].take(event)) return false;
    reads += more;
    return true;
  };
  for (auto* event : waiting) {
    if (take(event)) continue;
    full.insert(event->partition);
    later.push_back(event);
  }
  std::vector<RecordRef> refs;
  refs.reserve(reads);
  for (const auto& user : users) user.name_records(refs);
  const auto refuse_all = [&](const Error& error) {
    for (const auto* event : waiting) answers[event->place] = fail(error);
    waiting.clear();
  };
  auto stored = storage_.read(refs);
  if (!stored) return refuse_all(stored.error());
  std::span<std::optional<Record>> records(stored->records);
  std::vector<Batch> batches;
  std::vector<UserWork*> writers;
  for (auto& user : users) {
    user.apply(records.first(user.record_count()), answers);
    records = records.subspan(user.record_count());
    if (user.batch().operations.empty()) {
      user.finish(absent, started);
    } else {
      writers.push_back(&user);
      batches.push_back(user.take_batch());
    }
  }
  if (!batches.empty()) {
    const auto committed = storage_.commit(batches);
    if (!committed) return refuse_all(committed.error());
    for (std::size_t i = 0; i < writers.size(); ++i) {
      const auto& answer = committed->batches[i];
      if (answer.applied()) {
        writers[i]->finish(answer.revision, started);
      } else {
        // Another caller moved this user meanwhile: his events are applied anew to what is there now.
        later.insert(later.end(), writers[i]->events().begin(), writers[i]->events().end());
      }
    }
  }
  std::sort(later.begin(), later.end(), [](const auto* a, const auto* b) { return a->place < b->place; });
  waiting = std::move(later);
}

Result<void> Reporter::recall(std::span<KnownEvent> known, std::span<Result<Receipt>> answers,
                              std::vector<WaitingUnit>& units) {
  std::vector<std::string> keys;
  std::vector<std::pair<std::size_t, std::size_t>> places;
  for (std::size_t i = 0; i < known.size(); ++i) {
    auto& event = known[i];
    Receipt receipt{event.id, true, std::move(event.record.contributions), {}};
    for (std::size_t g = 0; g < event.record.grants.size(); ++g) {
      const auto& grant = event.record.grants[g];
      receipt.grants.push_back({grant.task, grant.cycle, grant.stage});
      if (!grant.quota) continue;
      keys.push_back(unit_key(grant.task, grant.cycle, grant.stage));
      places.emplace_back(i, g);
    }
    answers[event.place] = std::move(receipt);
  }
  std::vector<RecordRef> refs;
  for (std::size_t i = 0; i < keys.size(); ++i) refs.push_back({known[places[i].first].partition, keys[i]});
  const auto stored = read_all(storage_, refs);
  if (!stored) return fail(stored.error());
  for (std::size_t i = 0; i < keys.size(); ++i) {
    const auto& event = known[places[i].first];
    const auto& record = (*stored)[i];
    if (!record) {
      return fail(ErrorCode::corrupt,
                  fmt::format("event \"{}\" names the reward \"{}\", which is not there", event.id, keys[i]));
    }
    auto unit = decode_unit(*record);
    if (!unit) return fail(std::move(unit).error());
    auto* grant = grant_at(answers, event.place, places[i].second);
    grant->out_of_stock = unit->state == UnitRecord::State::out_of_stock;
    // The caller that reached the stage died, or is slow, before the unit was taken: this one takes it.
    if (unit->state == UnitRecord::State::waiting) {
      units.push_back({event.place, places[i].second, event.partition, keys[i], record->revision,
                       *std::move(unit), event.merchant});
    }
  }
  return recall_runs(known, answers);
}

Result<void> Reporter::recall_runs(std::span<KnownEvent> known, std::span<Result<Receipt>> answers) {
  for (const auto& event : known) {
    const auto& [merchant, user] = event.owner;
    for (std::size_t g = 0; g < event.record.grants.size(); ++g) {
      const auto& grant = event.record.grants[g];
      auto* receipt = grant_at(answers, event.place, g);
      if (receipt == nullptr || receipt->out_of_stock) continue;
      auto run = runner_.find(grant.pipeline, event.partition,
                              to_run_key({merchant, user, grant.task, grant.cycle, grant.stage, 1}));
      if (!run) return fail(std::move(run).error());
      if (*run) receipt->state = (*run)->state;
    }
  }
  return {};
}

Result<std::optional<PreparedRun>> Reporter::run_of(const WaitingUnit& unit) const {
  const auto* task =
      unit.merchant == nullptr ? nullptr : unit.merchant->find(unit.unit.grant.task, unit.unit.version);
  if (task == nullptr || unit.unit.grant.stage > static_cast<std::int64_t>(task->stages.size())) {
    return std::optional<PreparedRun>();
  }
  const auto& stage = task->stages[static_cast<std::size_t>(unit.unit.grant.stage - 1)];
  auto run = runner_.prepare(stage.plan, unit.partition, to_run_key(unit.unit.grant), unit.unit.input);
  if (!run) return fail(std::move(run).error());
  return std::optional(*std::move(run));
}

Result<void> Reporter::take_units(std::span<WaitingUnit> units, std::vector<WaitingRun>& runs,
                                  std::span<Result<Receipt>> answers) {
  for (; !units.empty(); units = units.subspan(std::min(units.size(), limits::span_batches))) {
    auto taken = take_some(units.first(std::min(units.size(), limits::span_batches)), runs, answers);
    if (!taken) return taken;
  }
  return {};
}

Result<void> Reporter::take_some(std::span<WaitingUnit> units, std::vector<WaitingRun>& runs,
                                 std::span<Result<Receipt>> answers) {
  std::vector<WaitingUnit*> known;
  std::vector<Batch> takes;
  for (auto& unit : units) {
    const auto* task =
        unit.merchant == nullptr ? nullptr : unit.merchant->find(unit.unit.grant.task, unit.unit.version);
    if (task == nullptr || !task->definition->quota)
      continue;  // not published here: it waits for who knows it
    const auto run_key = to_run_key(unit.unit.grant);
    known.push_back(&unit);
    takes.push_back(
        {quota_partition(unit.unit.grant.merchant, unit.unit.grant.task),
         {Operation::insert(fmt::format("unit/{}/{}", unit.unit.period, run_key), "1"),
          Operation::add(fmt::format("count/{}", unit.unit.period), 1, 0, task->definition->quota->limit)}});
  }
  if (known.empty()) return {};
  const auto taken = storage_.commit(takes);
  if (!taken) return fail(taken.error());
  std::vector<Batch> decisions;
  std::vector<std::optional<PreparedRun>> prepared;
  for (std::size_t i = 0; i < known.size(); ++i) {
    auto& unit = *known[i];
    // Refused at the insert: the unit is this grant's already, from before a crash.
    const bool granted = taken->batches[i].applied() || taken->batches[i].refused == 0;
    unit.unit.state = granted ? UnitRecord::State::granted : UnitRecord::State::out_of_stock;
    prepared.emplace_back();
    if (granted) {
      auto run = run_of(unit);
      if (!run) return fail(std::move(run).error());
      prepared.back() = *std::move(run);
    }
    decisions.push_back({unit.partition, {Operation::replace(unit.key, unit.revision, encode(unit.unit))}});
    if (prepared.back()) decisions.back().operations.push_back(prepared.back()->insert);
  }
  const auto decided = storage_.commit(decisions);
  if (!decided) return fail(decided.error());
  for (std::size_t i = 0; i < known.size(); ++i) {
    auto* receipt = grant_at(answers, known[i]->place, known[i]->grant);
    // Refused: another caller decided the same way, since a grant's unit is taken at most once.
    if (receipt != nullptr) receipt->out_of_stock = known[i]->unit.state == UnitRecord::State::out_of_stock;
    if (prepared[i] && decided->batches[i].applied()) {
      runs.push_back(
          {known[i]->place, known[i]->grant, *std::move(prepared[i]), decided->batches[i].revision});
    }
  }
  return {};
}

Result<void> Reporter::drive(std::vector<WaitingRun>& runs, std::span<Result<Receipt>> answers) {
  if (runs.empty()) return {};
  std::vector<PreparedRun> prepared;
  std::vector<Revision> revisions;
  prepared.reserve(runs.size());
  revisions.reserve(runs.size());
  for (auto& run : runs) {
    prepared.push_back(std::move(run.run));
    revisions.push_back(run.revision);
  }
  if (auto driven = runner_.drive(prepared, revisions); !driven) return driven;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    if (auto* receipt = grant_at(answers, runs[i].place, runs[i].grant)) receipt->state = prepared[i].state();
  }
  return {};
}

}  // namespace onceward::task_detail
