#pragma once
#include <onceward/expr/convert.hpp>

#include <cmath>
#include <memory>
#include <tuple>

namespace onceward::guard_detail {

/// Whether two payloads are the same, field by field where they lie. False negatives are harmless (a double
/// that is no number, a type that only its codec can compare): the storage is asked then.
template <class T>
bool same_payload(const T& a, const T& b) {
  namespace rd = reflect_detail;
  if constexpr (rd::HasCodec<T>) {
    return ValueCodec<T>::to_value(a) == ValueCodec<T>::to_value(b);
  } else if constexpr (rd::is_optional<T>) {
    return a.has_value() == b.has_value() && (!a || same_payload(*a, *b));
  } else if constexpr (rd::is_vector<T> || rd::is_array<T>) {
    if (a.size() != b.size()) return false;
    for (std::size_t i = 0; i < a.size(); ++i) {
      if (!same_payload(a[i], b[i])) return false;
    }
    return true;
  } else if constexpr (Reflected<T> && !rd::is_string_map<T>) {
    return [&]<std::size_t... i>(std::index_sequence<i...>) {
      return (same_payload(rd::get_field<i>(a), rd::get_field<i>(b)) && ...);
    }
    (std::make_index_sequence<rd::field_count<T>>());
  } else if constexpr (std::is_same_v<T, std::string_view>) {
    return false;  // nobody owns its text as long as a result is kept
  } else if constexpr (std::is_floating_point_v<T>) {
    return std::equal_to<T>()(a, b) && std::signbit(a) == std::signbit(b);  // -0.0 is written so
  } else if constexpr (rd::is_string_map<T>) {
    return to_value(a) == to_value(b);
  } else {
    return a == b;
  }
}

/// What a kept result is compared by: the arguments themselves, or, where some of their fields do not count
/// or they cannot be copied, the canonical text of the rest.
template <class... Request>
class KeptPayload {
  static constexpr bool copyable = (std::is_copy_constructible_v<Request> && ...);

 public:
  KeptPayload(std::string_view text, bool by_text, const Request&... request) {
    if (copyable && !by_text) {
      if constexpr (copyable) arguments_ = std::make_unique<std::tuple<Request...>>(request...);
    } else {
      text_ = text;
    }
  }

  [[nodiscard]] bool is(const Request&... request) const {
    if constexpr (copyable) {
      return arguments_ != nullptr&& [&]<std::size_t... i>(std::index_sequence<i...>) {
        const auto given = std::tie(request...);
        return (same_payload(std::get<i>(*arguments_), std::get<i>(given)) && ...);
      }
      (std::index_sequence_for<Request...>());
    } else {
      return false;
    }
  }
  [[nodiscard]] bool is_text(std::string_view text) const noexcept {
    return arguments_ == nullptr && text_ == text;
  }
  static constexpr bool needs_text(bool fields_left_out) noexcept { return fields_left_out || !copyable; }

 private:
  std::unique_ptr<std::tuple<Request...>> arguments_;
  std::string text_;
};

}  // namespace onceward::guard_detail
