#pragma once
#include <onceward/storage/record.hpp>

#include <charconv>
#include <optional>
#include <string_view>

namespace onceward::storage_detail {

/// The number a counter record holds; nothing where the value is no decimal 64-bit integer.
inline std::optional<std::int64_t> read_counter(std::string_view value) noexcept {
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (error != std::errc() || end != value.data() + value.size()) return std::nullopt;
  return number;
}

/// The sum an add would store; nothing where it is refused.
inline std::optional<std::int64_t> add_to_counter(std::int64_t current, const Operation& add) noexcept {
  std::int64_t sum = 0;
  if (__builtin_add_overflow(current, add.delta, &sum) || sum < add.least || sum > add.most)
    return std::nullopt;
  return sum;
}

}  // namespace onceward::storage_detail
