#include "storage/mariadb/tables.hpp"

#include <onceward/core/digest.hpp>

#include "storage/due_page.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace onceward::mariadb::detail {
namespace {

constexpr std::size_t most_rows = 128;
constexpr std::size_t most_bytes = std::size_t{4} << 20;  // of one statement, but for one row that is larger
constexpr std::int64_t minute_us = 60'000'000;
// On our own connections, whose zone is UTC, the time after the locks were waited for. On a caller's, whose
// zone may have a day with two hours of one name, the time at which the statement began.
constexpr std::string_view own_now_us = "CAST(UNIX_TIMESTAMP(SYSDATE(6)) * 1000000 AS SIGNED)";
constexpr std::string_view enlisted_now_us = "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))";
constexpr std::string_view record_columns = "partition_name, record_key, value, revision, due, expires";

/// The head, the row's text as often as needed, parted, and the tail. Counts are rounded up to a power of
/// two, so that a few statements serve all; `run_rows` repeats the last row.
std::size_t rounded(std::size_t rows) noexcept {
  std::size_t power = 1;
  while (power < rows) power *= 2;
  return power;
}

std::string repeated(std::string_view head, std::string_view row, std::string_view parted, std::size_t rows,
                     std::string_view tail) {
  std::string text(head);
  for (std::size_t i = 0; i < rounded(rows); ++i) text.append(i == 0 ? "" : parted).append(row);
  return text.append(tail);
}

void pad(std::vector<Parameter>& parameters, std::size_t rows, std::size_t columns) {
  const auto first = parameters.size() - columns;
  for (std::size_t i = rows; i < rounded(rows); ++i) {
    for (std::size_t column = 0; column < columns; ++column) parameters.push_back(parameters[first + column]);
  }
}

std::optional<Timestamp> time_of(const Statement& row, unsigned column) {
  if (row.null(column)) return std::nullopt;
  return Timestamp(Duration(row.number(column)));
}

/// The record in a row of record_columns.
Record record_of(Statement& row) {
  return {row.text(1), row.text(2), row.number(3), time_of(row, 4), time_of(row, 5)};
}

/// The first whole minute at which a record has expired. Coarse, so that a record that is written again soon
/// after, as a claim is by its completion, keeps its place in the index.
Parameter expiry_minute(const std::optional<Timestamp>& expires) noexcept {
  if (!expires) return Parameter(std::optional<Timestamp>());
  return Parameter((expires->time_since_epoch().count() + minute_us - 1) / minute_us);
}

bool live(const std::optional<Timestamp>& expires, Timestamp now) noexcept {
  return !expires || *expires > now;
}

/// The first text in byte order after all that begin with this one; empty where there is none.
std::string after_all_with(std::string_view prefix) {
  std::string end(prefix);
  while (!end.empty() && static_cast<unsigned char>(end.back()) == 0xff) end.pop_back();
  if (!end.empty()) end.back() = static_cast<char>(static_cast<unsigned char>(end.back()) + 1);
  return end;
}

/// Runs `use(rows)` over pieces of a list that make statements of a sensible size.
template <class List, class Size, class Use>
void in_pieces(const List& list, const Size& size, const Use& use) {
  std::size_t first = 0;
  while (first < list.size()) {
    std::size_t bytes = size(list[first]);
    std::size_t end = first + 1;
    while (end < list.size() && end - first < most_rows && bytes + size(list[end]) <= most_bytes) {
      bytes += size(list[end++]);
    }
    use(std::span(list).subspan(first, end - first));
    first = end;
  }
}

constexpr std::string_view these_records = "(partition_name, record_key) IN (";

std::size_t bytes_of(const SpanWork::Place& place) noexcept {
  return place.first.size() + place.second.size();
}

}  // namespace

std::string_view Tables::now_us() const noexcept {
  return reading_ == Reading::locked ? enlisted_now_us : own_now_us;
}

Shard Tables::shard_of(std::string_view partition) const noexcept {
  return static_cast<Shard>(stable_hash(partition) % shards_);
}

Timestamp Tables::now(std::span<const Shard> shards) {
  constexpr Shard any = 0;
  if (shards.empty()) shards = {&any, 1};
  std::int64_t floor = 0;
  std::int64_t time = 0;
  in_pieces(
      shards, [](Shard) { return sizeof(Shard); },
      [&](std::span<const Shard> piece) {
        std::vector<Parameter> parameters;
        for (const auto shard : piece) parameters.emplace_back(static_cast<std::int64_t>(shard));
        pad(parameters, piece.size(), 1);
        auto& row = connection_.prepare(
            repeated(fmt::format("SELECT {}, MAX(floor_us) FROM onceward_shard WHERE shard IN (", now_us()),
                     "?", ",", piece.size(), ")"));
        row.run(parameters);
        while (row.next()) {
          time = std::max(time, row.number(0));
          if (!row.null(1)) floor = std::max(floor, row.number(1));
        }
      });
  if (clock_ != nullptr) time = clock_->now().time_since_epoch().count();
  return Timestamp(Duration(std::max(time, floor)));
}

/// Takes the shards' rows, lowest first: whoever writes to a shard waits here for the one before.
Timestamp Tables::lock(SpanWork& work, std::span<const Shard> shards) {
  std::int64_t time = 0;
  std::size_t found = 0;
  in_pieces(
      shards, [](Shard) { return sizeof(Shard); },
      [&](std::span<const Shard> piece) {
        std::vector<Parameter> parameters;
        for (const auto shard : piece) parameters.emplace_back(static_cast<std::int64_t>(shard));
        pad(parameters, piece.size(), 1);
        auto& row = connection_.prepare(repeated(
            fmt::format("SELECT shard, high, floor_us, {} FROM onceward_shard WHERE shard IN (", now_us()),
            "?", ",", piece.size(), ") ORDER BY shard FOR UPDATE"));
        row.run(parameters);
        while (row.next()) {
          ++found;
          const ShardState state{row.number(1), row.number(2)};
          work.put(static_cast<Shard>(row.number(0)), state);
          time = std::max({time, state.floor, clock_ == nullptr ? row.number(3) : std::int64_t{0}});
        }
      });
  if (found != shards.size()) {
    throw Failure({ErrorCode::corrupt, "MariaDB: rows of onceward_shard are missing; restore a backup"});
  }
  if (clock_ != nullptr) time = std::max<std::int64_t>(time, clock_->now().time_since_epoch().count());
  return Timestamp(Duration(time));
}

void Tables::load(SpanWork& work) {
  in_pieces(work.places(), bytes_of, [&](std::span<const SpanWork::Place> piece) {
    std::vector<Parameter> parameters;
    for (const auto& [partition, key] : piece) {
      parameters.emplace_back(partition);
      parameters.emplace_back(key);
    }
    pad(parameters, piece.size(), 2);
    auto& row = connection_.prepare(
        repeated(fmt::format("SELECT {} FROM onceward_record WHERE {}", record_columns, these_records),
                 "(?,?)", ",", piece.size(), reading_ == Reading::locked ? ") FOR UPDATE" : ")"));
    row.run(parameters);
    while (row.next()) work.put(row.text(0), record_of(row));
  });
}

void Tables::store(const SpanWork& work, Timestamp now) {
  in_pieces(
      work.writes(),
      [](const SpanWork::Write& write) {
        return write.partition.size() + write.record->key.size() + write.record->value.size();
      },
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
        connection_
            .prepare(repeated(
                "INSERT INTO onceward_record(partition_name, record_key, shard, revision, due, expires, "
                "expires_minute, value) VALUES ",
                "(?,?,?,?,?,?,?,?)", ",", piece.size(),
                " ON DUPLICATE KEY UPDATE revision = VALUES(revision), due = VALUES(due), "
                "expires = VALUES(expires), "
                "expires_minute = VALUES(expires_minute), value = VALUES(value)"))
            .run(parameters);
      });
  in_pieces(work.removals(), bytes_of, [&](std::span<const SpanWork::Place> piece) {
    std::vector<Parameter> parameters;
    for (const auto& [partition, key] : piece) {
      parameters.emplace_back(partition);
      parameters.emplace_back(key);
    }
    pad(parameters, piece.size(), 2);
    connection_
        .prepare(repeated(fmt::format("DELETE FROM onceward_record WHERE {}", these_records), "(?,?)", ",",
                          piece.size(), ")"))
        .run(parameters);
  });
  using State = std::pair<Shard, ShardState>;
  in_pieces(
      work.states(now), [](const State&) { return sizeof(State); },
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
}

void Tables::write(std::span<CommitRequest* const> requests) {
  SpanWork work(shards_);
  for (const auto* request : requests) work.take(request->batches);
  const auto now = lock(work, work.shards());
  load(work);
  for (auto* request : requests) {
    CommitAnswer answer{now, {}};
    answer.batches.reserve(request->batches.size());
    for (const auto& batch : request->batches) answer.batches.push_back(work.apply(batch, now));
    request->answer = std::move(answer);
  }
  store(work, now);
}

void Tables::purge(Shard shard, std::size_t most) {
  SpanWork work(shards_);
  const auto now = lock(work, {&shard, 1});
  auto& row = connection_.prepare(
      "SELECT partition_name, record_key, revision FROM onceward_record WHERE shard = ? "
      "AND expires_minute <= ? ORDER BY expires_minute LIMIT ?");
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
  if (!expired.empty()) store(work, now);
}

void Tables::read(std::span<const RecordRef> records, ReadAnswer& answer) {
  std::vector<Shard> shards;
  for (const auto& record : records) shards.push_back(shard_of(record.partition));
  std::sort(shards.begin(), shards.end());
  shards.erase(std::unique(shards.begin(), shards.end()), shards.end());
  std::map<SpanWork::Place, std::vector<std::size_t>> wanted;
  for (std::size_t i = 0; i < records.size(); ++i)
    wanted[{records[i].partition, records[i].key}].push_back(i);
  std::vector<SpanWork::Place> places;
  for (const auto& [place, indices] : wanted) places.push_back(place);
  answer.now = now(shards);
  answer.records.assign(records.size(), std::nullopt);
  in_pieces(places, bytes_of, [&](std::span<const SpanWork::Place> piece) {
    std::vector<Parameter> parameters;
    for (const auto& [partition, key] : piece) {
      parameters.emplace_back(partition);
      parameters.emplace_back(key);
    }
    pad(parameters, piece.size(), 2);
    auto& row = connection_.prepare(
        repeated(fmt::format("SELECT {} FROM onceward_record WHERE {}", record_columns, these_records),
                 "(?,?)", ",", piece.size(), ")"));
    row.run(parameters);
    while (row.next()) {
      const auto partition = row.text(0);
      auto record = record_of(row);
      const auto place = wanted.find({partition, record.key});
      if (place == wanted.end() || !live(record.expires, answer.now)) continue;
      for (const auto index : place->second) answer.records[index] = record;
    }
  });
}

void Tables::scan(std::string_view partition, std::string_view prefix, std::string_view cursor,
                  std::size_t limit, ScanPage& page) {
  const auto shard = shard_of(partition);
  page.now = now({&shard, 1});
  const bool after = !cursor.empty() && cursor >= prefix;
  const auto end = after_all_with(prefix);
  auto& row = connection_.prepare(
      fmt::format("SELECT {} FROM onceward_record WHERE partition_name = ? AND record_key {} ?{} "
                  "AND (expires IS NULL OR expires > ?) ORDER BY record_key LIMIT ?",
                  record_columns, after ? ">" : ">=", end.empty() ? "" : " AND record_key < ?"));
  std::vector<Parameter> parameters{partition, after ? cursor : prefix};
  if (!end.empty()) parameters.emplace_back(std::string_view(end));
  parameters.emplace_back(page.now.time_since_epoch().count());
  parameters.emplace_back(static_cast<std::int64_t>(limit + 1));
  row.run(parameters);
  bool more = false;
  while (row.next()) {
    if (page.records.size() == limit) {
      more = true;
    } else {
      page.records.push_back(record_of(row));
    }
  }
  if (more) page.cursor = page.records.back().key;
}

void Tables::due(std::span<const Shard> shards, std::size_t limit, DuePage& page) {
  std::vector<Shard> asked(shards.begin(), shards.end());
  if (asked.empty()) {
    for (Shard shard = 0; shard < shards_; ++shard) asked.push_back(shard);
  }
  std::sort(asked.begin(), asked.end());
  asked.erase(std::unique(asked.begin(), asked.end()), asked.end());
  page.now = now(asked);
  struct Named {
    Timestamp due;
    std::string partition;
    std::string key;
  };
  std::vector<Named> named;
  in_pieces(
      asked, [](Shard) { return sizeof(Shard); },
      [&](std::span<const Shard> piece) {
        std::vector<Parameter> parameters;
        for (const auto shard : piece) {
          parameters.emplace_back(static_cast<std::int64_t>(shard));
          parameters.emplace_back(page.now.time_since_epoch().count());
          parameters.emplace_back(static_cast<std::int64_t>(limit + 1));
        }
        pad(parameters, piece.size(), 3);
        // Oldest first of each shard, by its index; names alone, since most of them will be sorted out.
        auto& row = connection_.prepare(
            repeated("",
                     "(SELECT due, partition_name, record_key FROM onceward_record WHERE shard = ? "
                     "AND due IS NOT NULL AND (expires IS NULL OR expires > ?) ORDER BY due LIMIT ?)",
                     " UNION ALL ", piece.size(), ""));
        row.run(parameters);
        while (row.next()) named.push_back({Timestamp(Duration(row.number(0))), row.text(1), row.text(2)});
      });
  std::sort(named.begin(), named.end(), [](const Named& a, const Named& b) {
    return std::tie(a.due, a.partition, a.key) < std::tie(b.due, b.partition, b.key);
  });
  // Padding asks for the last shard again.
  named.erase(std::unique(named.begin(), named.end(),
                          [](const Named& a, const Named& b) {
                            return a.partition == b.partition && a.key == b.key;
                          }),
              named.end());
  std::vector<RecordRef> refs;
  for (const auto& name : named) {
    if (name.due > page.now || refs.size() == limit) {
      page.next = name.due;
      break;
    }
    refs.push_back({name.partition, name.key});
  }
  if (refs.empty()) return;
  ReadAnswer found;
  read(refs, found);
  for (std::size_t i = 0; i < refs.size(); ++i) {
    auto& record = found.records[i];
    // Written again since it was named: then it is due later, or not at all.
    if (!record || !record->due || *record->due > page.now) continue;
    page.entries.push_back({std::string(refs[i].partition), *std::move(record)});
  }
  storage_detail::order_due_page(page, limit);
}

}  // namespace onceward::mariadb::detail
