#pragma once
#include "storage/mariadb/connection.hpp"
#include "storage/mariadb/span_work.hpp"

#include <string>
#include <string_view>
#include <vector>

// Statements over many rows, and rows as records.
namespace onceward::mariadb::detail {

inline constexpr std::size_t most_rows = 128;
inline constexpr std::size_t most_bytes = std::size_t{4}
                                          << 20;  // of one statement, but for one row that is larger
inline constexpr std::int64_t minute_us = 60'000'000;
inline constexpr std::string_view record_columns =
    "partition_name, record_key, value, revision, due, expires";

/// Statements are prepared for a few counts of rows: each up to 8, then every eighth.
inline std::size_t rounded(std::size_t rows) noexcept {
  constexpr std::size_t step = 8;
  return rows <= step ? rows : (rows + step - 1) / step * step;
}

/// The head, the row's text as often as needed, parted, and the tail. `pad` repeats the last row's values.
inline std::string repeated(std::string_view head, std::string_view row, std::string_view parted,
                            std::size_t rows, std::string_view tail) {
  std::string text(head);
  for (std::size_t i = 0; i < rounded(rows); ++i) text.append(i == 0 ? "" : parted).append(row);
  return text.append(tail);
}

inline void pad(std::vector<Parameter>& parameters, std::size_t rows, std::size_t columns) {
  const auto first = parameters.size() - columns;
  for (std::size_t i = rows; i < rounded(rows); ++i) {
    for (std::size_t column = 0; column < columns; ++column) parameters.push_back(parameters[first + column]);
  }
}

inline std::optional<Timestamp> time_of(const Statement& row, unsigned column) {
  if (row.null(column)) return std::nullopt;
  return Timestamp(Duration(row.number(column)));
}

/// The record in a row of record_columns.
inline Record record_of(Statement& row) {
  return {row.text(1), row.text(2), row.number(3), time_of(row, 4), time_of(row, 5)};
}

/// The first whole minute at which a record has expired. Coarse, so that a record that is written again soon
/// after, as a claim is by its completion, keeps its place in the index.
inline Parameter expiry_minute(const std::optional<Timestamp>& expires) noexcept {
  if (!expires) return Parameter(std::optional<Timestamp>());
  return Parameter((expires->time_since_epoch().count() + minute_us - 1) / minute_us);
}

inline bool live(const std::optional<Timestamp>& expires, Timestamp now) noexcept {
  return !expires || *expires > now;
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

inline constexpr std::string_view these_records = "(partition_name, record_key) IN (";

/// The values of a statement over these rows, padded.
inline std::vector<Parameter> values_of(std::span<const SpanWork::Place> places) {
  std::vector<Parameter> values;
  for (const auto& [partition, key] : places) {
    values.emplace_back(partition);
    values.emplace_back(key);
  }
  pad(values, places.size(), 2);
  return values;
}
inline std::vector<Parameter> values_of(std::span<const Shard> shards) {
  std::vector<Parameter> values;
  for (const auto shard : shards) values.emplace_back(static_cast<std::int64_t>(shard));
  pad(values, shards.size(), 1);
  return values;
}

inline std::size_t bytes_of(const SpanWork::Place& place) noexcept {
  return place.first.size() + place.second.size();
}

}  // namespace onceward::mariadb::detail
