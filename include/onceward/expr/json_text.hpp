#pragma once
#include <onceward/expr/convert.hpp>

#include <algorithm>

namespace onceward {

namespace json_detail {

/// A text in quotes, escaped; a number as Value::to_json writes it.
void append_text(std::string& out, std::string_view text);
void append_number(std::string& out, std::int64_t number);
void append_number(std::string& out, double number);

/// The fields in the order of their names' bytes.
template <class T>
consteval auto fields_by_name() {
  constexpr auto names = field_names<T>();
  std::array<std::size_t, names.size()> order{};
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return names[a] < names[b]; });
  return order;
}

/// A name needs no escaping: it is an identifier, or a listed one that is plain.
constexpr bool is_plain(std::string_view name) {
  for (const char c : name) {
    if (c == '"' || c == '\\' || static_cast<unsigned char>(c) < 0x20) return false;
  }
  return true;
}

}  // namespace json_detail

/// Appends to_value(value).to_json(), made from the fields where they lie: no Value in between, no heap but
/// for `out` itself. Types with a ValueCodec go through their Value.
template <class T>
void append_json(std::string& out, const T& value) {
  namespace rd = reflect_detail;
  if constexpr (rd::HasCodec<T>) {
    ValueCodec<T>::to_value(value).append_json(out);
  } else if constexpr (std::is_same_v<T, Value> || std::is_same_v<T, Map>) {
    value.append_json(out);
  } else if constexpr (std::is_same_v<T, bool>) {
    out += value ? "true" : "false";
  } else if constexpr (std::is_integral_v<T>) {
    if (std::in_range<std::int64_t>(value)) {
      json_detail::append_number(out, static_cast<std::int64_t>(value));
    } else {
      json_detail::append_text(out, std::to_string(value));
    }
  } else if constexpr (std::is_floating_point_v<T>) {
    json_detail::append_number(out, static_cast<double>(value));
  } else if constexpr (std::is_enum_v<T>) {
    append_json(out, static_cast<std::underlying_type_t<T>>(value));
  } else if constexpr (std::is_convertible_v<const T&, std::string_view>) {
    json_detail::append_text(out, value);
  } else if constexpr (rd::is_optional<T>) {
    if (value) {
      append_json(out, *value);
    } else {
      out += "null";
    }
  } else if constexpr (rd::is_duration<T>) {
    json_detail::append_number(out, std::int64_t{std::chrono::duration_cast<Duration>(value).count()});
  } else if constexpr (rd::is_time_point<T>) {
    append_json(out, value.time_since_epoch());
  } else if constexpr (rd::is_vector<T> || rd::is_array<T>) {
    out += '[';
    bool first = true;
    for (const auto& element : value) {
      if (!first) out += ',';
      first = false;
      append_json(out, element);
    }
    out += ']';
  } else if constexpr (Reflected<T> && !rd::is_string_map<T>) {
    static constexpr auto names = field_names<T>();
    static constexpr auto order = json_detail::fields_by_name<T>();
    out += '{';
    [&]<std::size_t... i>(std::index_sequence<i...>) {
      const auto append_field = [&]<std::size_t place>() {
        constexpr auto name = names[order[place]];
        if constexpr (place > 0) out += ',';
        if constexpr (json_detail::is_plain(name)) {
          out += '"';
          out += name;
          out += "\":";
        } else {
          json_detail::append_text(out, name);
          out += ':';
        }
        append_json(out, rd::get_field<order[place]>(value));
      };
      (append_field.template operator()<i>(), ...);
    }
    (std::make_index_sequence<order.size()>());
    out += '}';
  } else {
    to_value(value).append_json(out);  // maps, which it sorts; and what cannot be read says why there
  }
}

}  // namespace onceward
