#pragma once
#include <onceward/storage/storage.hpp>

#include <string>
#include <type_traits>

namespace onceward::testing::contract_detail {

/// Values as a failure prints them: bytes that do not print as \xNN, long texts cut.
std::string show_text(std::string_view text);
std::string show_record(const Record& record);
inline std::string show_time(Timestamp time) {
  return std::to_string(time.time_since_epoch().count()) + " us";
}

template <class T>
std::string show(const T& value);

template <class T>
std::string show_optional(const std::optional<T>& value) {
  return value ? show(*value) : "none";
}
template <class T>
std::string show_list(const std::vector<T>& values) {
  std::string text = "[";
  for (const auto& value : values) text.append(text.size() > 1 ? ", " : "").append(show(value));
  return text + "]";
}

template <class T>
std::string show(const T& value) {
  if constexpr (std::is_same_v<T, bool>) {
    return value ? "true" : "false";
  } else if constexpr (std::is_integral_v<T>) {
    return std::to_string(value);
  } else if constexpr (std::is_enum_v<T>) {
    return std::string(to_string(value));
  } else if constexpr (std::is_convertible_v<const T&, std::string_view>) {
    return show_text(value);
  } else if constexpr (std::is_same_v<T, Timestamp>) {
    return show_time(value);
  } else if constexpr (std::is_same_v<T, Record>) {
    return show_record(value);
  } else if constexpr (requires { value.has_value(); }) {
    return show_optional(value);
  } else {
    return show_list(value);
  }
}

}  // namespace onceward::testing::contract_detail
