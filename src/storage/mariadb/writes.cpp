#include "storage/mariadb/rows.hpp"
#include "storage/mariadb/tables.hpp"

#include <onceward/core/digest.hpp>

#include <fmt/format.h>

#include <algorithm>

// The write half of Tables: a span is decided in memory between one read and one write.
namespace onceward::mariadb::detail {
namespace {

constexpr std::string_view record_values =
    "INSERT INTO onceward_record(partition_name, record_key, shard, revision, due, expires, expires_minute, "
    "value) VALUES ";
constexpr std::string_view over_the_old =
    " ON DUPLICATE KEY UPDATE revision = VALUES(revision), due = VALUES(due), expires = VALUES(expires), "
    "expires_minute = VALUES(expires_minute), value = VALUES(value)";
/// Leaves a record that is there alone, and out of the count of changed rows.
constexpr std::string_view beside_the_old = " ON DUPLICATE KEY UPDATE revision = revision";

std::size_t bytes_of(const SpanWork::Write& write) noexcept {
  return write.partition.size() + write.record->key.size() + write.record->value.size();
}

}  // namespace

/// Takes the shards' rows, lowest first. Who holds them for itself keeps all other writers out; who shares
/// them keeps out those who remove records.
Timestamp Tables::lock(SpanWork& work, std::span<const Shard> shards, Locking locking) {
  std::int64_t time = time_.last.load();
  std::size_t found = 0;
  in_pieces(
      shards, [](Shard) { return sizeof(Shard); },
      [&](std::span<const Shard> piece) {
        const auto parameters = values_of(piece);
        auto& row = connection_.prepare(repeated(
            fmt::format("SELECT shard, high, floor_us, {} FROM onceward_shard WHERE shard IN (", now_us()),
            "?", ",", piece.size(),
            locking == Locking::shared ? ") ORDER BY shard LOCK IN SHARE MODE"
                                       : ") ORDER BY shard FOR UPDATE"));
        row.run(parameters);
        while (row.next()) {
          ++found;
          const auto shard = static_cast<Shard>(row.number(0));
          const ShardState state{row.number(1), row.number(2)};
          work.put(shard, state);
          time_.noted[shard] = state.floor;
          time = std::max({time, state.floor, clock_ == nullptr ? row.number(3) : std::int64_t{0}});
        }
      });
  if (found != shards.size()) {
    throw Failure({ErrorCode::corrupt, "MariaDB: rows of onceward_shard are missing; restore a backup"});
  }
  if (clock_ != nullptr) time = std::max<std::int64_t>(time, clock_->now().time_since_epoch().count());
  return Timestamp(Duration(time));
}

/// Reads the records with a lock: nobody changes one before this transaction ends.
void Tables::load(SpanWork& work) {
  in_pieces(
      work.places(), [](const SpanWork::Place& place) { return detail::bytes_of(place); },
      [&](std::span<const SpanWork::Place> piece) {
        const auto parameters = values_of(piece);
        auto& row = connection_.prepare(
            repeated(fmt::format("SELECT {} FROM onceward_record WHERE {}", record_columns, these_records),
                     "(?,?)", ",", piece.size(), ") FOR UPDATE"));
        row.run(parameters);
        while (row.next()) work.put(row.text(0), record_of(row));
      });
}

bool Tables::store_records(std::span<const SpanWork::Write> writes, bool is_new) {
  std::int64_t changed = 0;
  in_pieces(
      writes, [](const SpanWork::Write& write) { return bytes_of(write); },
      [&](std::span<const SpanWork::Write> piece) {
        std::vector<Parameter> parameters;
        for (const auto& write : piece) {
          const auto& record = *write.record;
          parameters.emplace_back(write.partition);
          parameters.emplace_back(std::string_view(record.key));
          parameters.emplace_back(static_cast<std::int64_t>(write.shard));
          parameters.emplace_back(std::int64_t{record.revision});
          parameters.emplace_back(record.due);
          parameters.emplace_back(record.expires);
          parameters.emplace_back(expiry_minute(record.expires));
          parameters.emplace_back(std::string_view(record.value));
        }
        pad(parameters, piece.size(), 8);
        auto& insert = connection_.prepare(repeated(record_values, "(?,?,?,?,?,?,?,?)", ",", piece.size(),
                                                    is_new ? beside_the_old : over_the_old));
        insert.run(parameters);
        changed += insert.changed();
      });
  return changed == static_cast<std::int64_t>(writes.size());
}

bool Tables::store(const SpanWork& work, Timestamp now) {
  auto writes = work.writes();
  const auto old = std::stable_partition(writes.begin(), writes.end(),
                                         [](const SpanWork::Write& write) { return write.is_new; });
  const bool all_new = store_records({writes.begin(), old}, true);
  // How a caller's connection counts is not known; there nothing is assumed, and nobody else writes.
  if (!all_new && !enlisted_) return false;
  (void)store_records({old, writes.end()}, false);
  in_pieces(
      work.removals(), [](const SpanWork::Place& place) { return detail::bytes_of(place); },
      [&](std::span<const SpanWork::Place> piece) {
        const auto parameters = values_of(piece);
        connection_
            .prepare(repeated(fmt::format("DELETE FROM onceward_record WHERE {}", these_records), "(?,?)",
                              ",", piece.size(), ")"))
            .run(parameters);
      });
  using State = std::pair<Shard, ShardState>;
  in_pieces(
      work.states(now, time_.noted_every), [](const State&) { return sizeof(State); },
      [&](std::span<const State> piece) {
        std::vector<Parameter> parameters;
        for (const auto& [shard, state] : piece) {
          parameters.emplace_back(static_cast<std::int64_t>(shard));
          parameters.emplace_back(state.high);
          parameters.emplace_back(state.floor);
        }
        pad(parameters, piece.size(), 3);
        connection_
            .prepare(repeated("INSERT INTO onceward_shard(shard, high, floor_us) VALUES ", "(?,?,?)", ",",
                              piece.size(),
                              " ON DUPLICATE KEY UPDATE high = VALUES(high), floor_us = VALUES(floor_us)"))
            .run(parameters);
      });
  return true;
}

Locking Tables::locking_for(std::span<CommitRequest* const> requests) const {
  const auto now = clock_ == nullptr ? time_.last.load() : clock_->now().time_since_epoch().count();
  for (const auto* request : requests) {
    for (const auto& batch : request->batches) {
      const std::int64_t noted = time_.noted[shard_of(batch.partition)];
      if (noted == 0 || Duration(now - noted) >= time_.noted_every) return Locking::exclusive;
      for (const auto& operation : batch.operations) {
        const bool absence = operation.kind == Operation::Kind::require && operation.expected == absent;
        if (absence || operation.kind == Operation::Kind::remove) return Locking::exclusive;
      }
    }
  }
  return Locking::shared;
}

bool Tables::write(std::span<CommitRequest* const> requests, Locking locking) {
  SpanWork work(shards_);
  if (locking == Locking::shared) work.assume_new_absent();
  for (const auto* request : requests) work.take(request->batches);
  const auto now = lock(work, work.shards(), locking);
  if (locking == Locking::shared && !work.noted(now, time_.noted_every)) return false;
  load(work);
  for (auto* request : requests) {
    CommitAnswer answer{now, {}};
    answer.batches.reserve(request->batches.size());
    for (const auto& batch : request->batches) answer.batches.push_back(work.apply(batch, now));
    request->answer = std::move(answer);
  }
  if (work.unsure() || !store(work, now)) return false;
  time_.raise(now);
  for (const auto& [shard, state] : work.states(now, time_.noted_every)) time_.noted[shard] = state.floor;
  return true;
}

bool Tables::purge(Shard shard, std::size_t most) {
  SpanWork work(shards_);
  const auto now = lock(work, {&shard, 1}, Locking::exclusive);
  auto& row = connection_.prepare(
      "SELECT partition_name, record_key, revision FROM onceward_record WHERE shard = ? "
      "AND expires_minute <= ? ORDER BY expires_minute LIMIT ? FOR UPDATE");
  row.run({static_cast<std::int64_t>(shard), now.time_since_epoch().count() / minute_us,
           static_cast<std::int64_t>(most)});
  std::vector<Batch> expired;
  while (row.next()) expired.push_back({row.text(0), {Operation::remove(row.text(1), row.number(2))}});
  work.take(expired);
  for (const auto& batch : expired) {
    const auto& operation = batch.operations.front();
    work.put(batch.partition, Record{operation.key, {}, operation.expected});
    (void)work.apply(batch, now);
  }
  if (!expired.empty()) (void)store(work, now);
  return expired.size() == most;
}

}  // namespace onceward::mariadb::detail
