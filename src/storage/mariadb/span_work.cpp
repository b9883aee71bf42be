#include "storage/mariadb/span_work.hpp"

#include <onceward/core/digest.hpp>

#include "storage/counter.hpp"

#include <algorithm>

namespace onceward::mariadb::detail {

Shard SpanWork::shard_of(std::string_view partition) const noexcept {
  return static_cast<Shard>(stable_hash(partition) % shards_);
}

void SpanWork::take(std::span<const Batch> batches) {
  for (const auto& batch : batches) {
    states_.try_emplace(shard_of(batch.partition));
    for (const auto& operation : batch.operations) {
      const auto [cell, is_first] = cells_.try_emplace({batch.partition, operation.key});
      if (is_first) cell->second.inserted_first = operation.kind == Operation::Kind::insert;
    }
  }
}

std::vector<SpanWork::Place> SpanWork::places() const {
  std::vector<Place> places;
  places.reserve(cells_.size());
  for (const auto& [place, cell] : cells_) {
    if (!assumed(cell)) places.push_back(place);
  }
  return places;
}

std::vector<Shard> SpanWork::shards() const {
  std::vector<Shard> shards;
  for (const auto& [shard, state] : states_) shards.push_back(shard);
  return shards;
}

void SpanWork::put(std::string_view partition, Record record) {
  const auto cell = cells_.find({partition, record.key});
  if (cell == cells_.end()) return;
  cell->second.record = std::move(record);
  cell->second.stored = true;
}

bool SpanWork::noted(Timestamp now, Duration unnoted) const {
  return std::all_of(states_.begin(), states_.end(), [&](const auto& entry) {
    return now.time_since_epoch() - Duration(entry.second.floor) < unnoted;
  });
}

BatchAnswer SpanWork::apply(const Batch& batch, Timestamp now) {
  using Kind = Operation::Kind;
  const auto shard = shard_of(batch.partition);
  auto& state = states_[shard];
  BatchAnswer answer;
  answer.revision = std::max(now.time_since_epoch().count(), state.high + 1);
  struct Met {
    Cell* cell;
    bool live;
    std::int64_t sum = 0;
  };
  std::vector<Met> met;
  met.reserve(batch.operations.size());
  for (std::size_t i = 0; i < batch.operations.size(); ++i) {
    const auto& operation = batch.operations[i];
    auto& cell = cells_.find({batch.partition, operation.key})->second;
    const auto& record = cell.record;
    const bool live = record && (!record->expires || *record->expires > now);
    if (record) answer.revision = std::max(answer.revision, record->revision + 1);
    bool holds = false;
    std::int64_t sum = 0;
    if (operation.kind == Kind::insert) {
      holds = !live;
    } else if (operation.kind == Kind::add) {
      const auto current =
          live ? storage_detail::read_counter(record->value) : std::optional<std::int64_t>(0);
      const auto added = current ? storage_detail::add_to_counter(*current, operation) : std::nullopt;
      holds = added.has_value();
      sum = added.value_or(0);
    } else {
      holds = (live ? record->revision : absent) == operation.expected;
    }
    met.push_back({&cell, live, sum});
    if (!holds) {
      unsure_ =
          unsure_ || std::any_of(met.begin(), met.end(), [&](const Met& m) { return assumed(*m.cell); });
      return {.refused = i, .found = live ? record : std::nullopt};
    }
  }
  for (std::size_t i = 0; i < met.size(); ++i) {
    const auto& operation = batch.operations[i];
    if (operation.kind == Kind::require) {
      unsure_ = unsure_ || assumed(*met[i].cell);
      continue;
    }
    written_.insert(shard);
    auto& cell = *met[i].cell;
    cell.touched = true;
    if (operation.kind == Kind::remove) {
      state.high = std::max(state.high, cell.record->revision);
      raised_.insert(shard);
      unsure_ = unsure_ || (assumes_ && cell.inserted_first);  // no insert is left that would fail
      cell.record.reset();
      continue;
    }
    const bool adds = operation.kind == Kind::add;
    if (adds) answer.counters.push_back(met[i].sum);
    if (!adds || !met[i].live) {
      const auto& [due_in, expires_in] = operation.timing;
      cell.record = Record{operation.key, {}};
      if (due_in) cell.record->due = now + *due_in;
      if (expires_in) cell.record->expires = now + *expires_in;
    }
    cell.record->revision = answer.revision;
    cell.record->value = adds ? std::to_string(met[i].sum) : operation.value;
  }
  return answer;
}

std::vector<SpanWork::Write> SpanWork::writes() const {
  std::vector<Write> writes;
  for (const auto& [place, cell] : cells_) {
    if (cell.touched && cell.record)
      writes.push_back({place.first, shard_of(place.first), &*cell.record, !cell.stored});
  }
  return writes;
}

std::vector<SpanWork::Place> SpanWork::removals() const {
  std::vector<Place> removals;
  for (const auto& [place, cell] : cells_) {
    if (cell.touched && !cell.record && cell.stored) removals.push_back(place);
  }
  return removals;
}

std::vector<std::pair<Shard, ShardState>> SpanWork::states(Timestamp now, Duration unnoted) const {
  std::vector<std::pair<Shard, ShardState>> states;
  for (const auto shard : written_) {
    auto state = states_.at(shard);
    if (!raised_.contains(shard) && now.time_since_epoch() - Duration(state.floor) < unnoted) continue;
    // Where every write has to change the row, a second one at the same time does too.
    const auto least = unnoted == Duration(0) ? state.floor + 1 : state.floor;
    state.floor = std::max(least, now.time_since_epoch().count());
    states.emplace_back(shard, state);
  }
  return states;
}

}  // namespace onceward::mariadb::detail
