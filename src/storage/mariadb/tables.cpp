#include "storage/mariadb/tables.hpp"

#include <onceward/core/digest.hpp>

#include "storage/due_page.hpp"
#include "storage/mariadb/rows.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>

namespace onceward::mariadb::detail {
namespace {

// On our own connections, whose zone is UTC, the time after the locks were waited for. On a caller's, whose
// zone may have a day with two hours of one name, the time at which the statement began.
constexpr std::string_view own_now_us = "CAST(UNIX_TIMESTAMP(SYSDATE(6)) * 1000000 AS SIGNED)";
constexpr std::string_view enlisted_now_us = "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))";

/// The first text in byte order after all that begin with this one; empty where there is none.
std::string after_all_with(std::string_view prefix) {
  std::string end(prefix);
  while (!end.empty() && static_cast<unsigned char>(end.back()) == 0xff) end.pop_back();
  if (!end.empty()) end.back() = static_cast<char>(static_cast<unsigned char>(end.back()) + 1);
  return end;
}

}  // namespace

std::string_view Tables::now_us() const noexcept { return enlisted_ ? enlisted_now_us : own_now_us; }

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
        const auto parameters = values_of(piece);
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
  return Timestamp(Duration(std::max({time, floor, time_.last.load()})));
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
    const auto parameters = values_of(piece);
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

std::vector<std::string> Tables::partitions(std::string_view cursor, std::size_t limit) {
  auto& row = connection_.prepare(
      "SELECT DISTINCT partition_name FROM onceward_record WHERE partition_name > ? ORDER BY partition_name "
      "LIMIT ?");
  row.run({cursor, static_cast<std::int64_t>(limit)});
  std::vector<std::string> names;
  while (row.next()) names.push_back(row.text(0));
  return names;
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
