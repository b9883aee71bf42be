#pragma once
#include <onceward/storage/record.hpp>

#include "storage/reserved.hpp"

#include <charconv>
#include <fmt/format.h>

// A record that was moved from one storage to another keeps its revision for everyone who read it: until it
// is written again it is stored as "~onceward/moved:<revision, 19 digits>:<value>".
namespace onceward::storage_detail {

inline constexpr std::size_t revision_digits = 19;

[[nodiscard]] inline bool is_moved(const Record& record) noexcept {
  return record.value.starts_with(moved_mark);
}

[[nodiscard]] inline std::string moved_value(Revision revision, std::string_view value) {
  return fmt::format("{}{:019}:{}", moved_mark, revision, value);
}

/// The record as its readers know it. False where the mark is followed by what this library never wrote.
[[nodiscard]] inline bool unpack_moved(Record& record) {
  if (!is_moved(record)) return true;
  if (record.value.size() < moved_mark_bytes || record.value[moved_mark_bytes - 1] != ':') return false;
  const char* const digits = record.value.data() + moved_mark.size();
  Revision revision = absent;
  const auto [end, error] = std::from_chars(digits, digits + revision_digits, revision);
  if (error != std::errc() || end != digits + revision_digits) return false;
  record.revision = revision;
  record.value.erase(0, moved_mark_bytes);
  return true;
}

}  // namespace onceward::storage_detail
