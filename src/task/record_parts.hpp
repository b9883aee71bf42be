#pragma once
#include "task/records.hpp"

#include <fmt/format.h>

namespace onceward::task_detail {

inline Unexpected corrupt(std::string_view key) {
  return fail(
      ErrorCode::corrupt,
      fmt::format("the record \"{}\" is not what this version writes; look at it before going on", key));
}
inline Unexpected corrupt(const Record& record) { return corrupt(record.key); }

/// A member of the right kind, or null: every reader below refuses a record that lacks one.
inline const std::string* text_of(const Value& value, std::string_view name) {
  const auto* member = value.find(name);
  return member == nullptr ? nullptr : member->string();
}
inline const std::string* text_at(const List& list, std::size_t place) {
  return place < list.size() ? list[place].string() : nullptr;
}
inline const std::int64_t* integer_at(const List& list, std::size_t place) {
  return place < list.size() ? list[place].integer() : nullptr;
}
inline std::optional<Timestamp> time_of(const Value& value, std::string_view name) {
  const auto* member = value.find(name);
  if (member == nullptr || member->integer() == nullptr) return std::nullopt;
  return Timestamp(Duration(*member->integer()));
}

}  // namespace onceward::task_detail
