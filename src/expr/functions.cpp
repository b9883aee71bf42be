#include "expr/functions.hpp"

#include <onceward/core/digest.hpp>
#include <onceward/core/timestamp.hpp>

#include "expr/text.hpp"

#include <date/tz.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

namespace onceward::expr_detail {
namespace {

using Kind = Value::Kind;
using Arguments = std::span<const Operand>;

constexpr std::int64_t most_decimals = 18;

Unexpected wrong_kind(std::string_view wanted, const Operand& got) {
  return fail(ErrorCode::wrong_kind,
              fmt::format("{} is needed here, this is {}", wanted, with_article(got.kind)));
}

Result<std::string_view> text(const Operand& operand) {
  if (operand.is(Kind::string)) return operand.string;
  return wrong_kind("a string", operand);
}
Result<std::int64_t> integer(const Operand& operand) {
  if (operand.is(Kind::integer)) return operand.integer;
  return wrong_kind("an int", operand);
}
Result<double> number(const Operand& operand) {
  if (operand.is(Kind::integer)) return static_cast<double>(operand.integer);
  if (operand.is(Kind::real)) return operand.real;
  return wrong_kind("a number", operand);
}

/// A whole double as an integer, where 64 bits hold it.
Result<Operand> whole(double value) {
  if (!(value >= -9223372036854775808.0 && value < 9223372036854775808.0)) {
    return fail(ErrorCode::out_of_range, "the number does not fit a 64-bit integer");
  }
  return Operand::of(static_cast<std::int64_t>(value));
}

Result<Operand> bounded(std::string value, LateArena& arena) {
  if (value.size() > limits::value_bytes) {
    return fail(ErrorCode::limit_exceeded,
                fmt::format("the text grows beyond {} bytes", limits::value_bytes));
  }
  return arena.get().text(std::move(value));
}

template <class Change>
Result<Operand> change_text(const Operand& operand, LateArena& arena, const Change& change) {
  const auto source = text(operand);
  if (!source) return fail(source.error());
  return bounded(change(*source), arena);
}

Result<Operand> size_of(Arguments a, LateArena&) {
  if (a[0].is(Kind::list)) return Operand::of(static_cast<std::int64_t>(a[0].list->size()));
  if (a[0].is(Kind::map)) return Operand::of(static_cast<std::int64_t>(a[0].map->size()));
  return wrong_kind("a list or map", a[0]);
}

Result<Operand> lower(Arguments a, LateArena& arena) { return change_text(a[0], arena, ascii_lower); }
Result<Operand> upper(Arguments a, LateArena& arena) { return change_text(a[0], arena, ascii_upper); }

template <int sign>
Result<Operand> extreme(Arguments a, LateArena&) {
  Operand best = a[0];
  for (const auto& operand : a) {
    if (!operand.is_number()) return wrong_kind("a number", operand);
    const auto order = compare(operand, best);
    if (!order) return fail(order.error());
    if (*order * sign > 0) best = operand;
  }
  return best;
}

Result<Operand> absolute(Arguments a, LateArena&) {
  if (a[0].is(Kind::real)) return Operand::of(std::fabs(a[0].real));
  const auto value = integer(a[0]);
  if (!value) return wrong_kind("a number", a[0]);
  std::int64_t positive = *value;
  if (*value < 0 && __builtin_sub_overflow(std::int64_t{0}, *value, &positive)) {
    return fail(ErrorCode::out_of_range, "abs() of the smallest integer does not fit 64 bits");
  }
  return Operand::of(positive);
}

template <double (*round)(double)>
Result<Operand> to_whole(Arguments a, LateArena&) {
  if (a[0].is(Kind::integer)) return a[0];
  if (!a[0].is(Kind::real)) return wrong_kind("a number", a[0]);
  return whole(round(a[0].real));
}

Result<Operand> to_integer(Arguments a, LateArena&) {
  if (a[0].is(Kind::integer)) return a[0];
  if (a[0].is(Kind::real)) return whole(std::trunc(a[0].real));
  const auto source = text(a[0]);
  if (!source) return wrong_kind("a number or string", a[0]);
  std::int64_t value = 0;
  const char* end = source->data() + source->size();
  const auto parsed = std::from_chars(source->data(), end, value);
  if (parsed.ec == std::errc() && parsed.ptr == end && !source->empty()) return Operand::of(value);
  return fail(ErrorCode::out_of_range, fmt::format("int('{}'): the text is no 64-bit integer", *source));
}

Result<Operand> to_real(Arguments a, LateArena&) {
  if (a[0].is_number()) return Operand::of(*number(a[0]));
  const auto source = text(a[0]);
  if (!source) return wrong_kind("a number or string", a[0]);
  double value = 0;
  const char* end = source->data() + source->size();
  const auto parsed = std::from_chars(source->data(), end, value);
  if (parsed.ec == std::errc() && parsed.ptr == end && !source->empty() && std::isfinite(value))
    return Operand::of(value);
  return fail(ErrorCode::out_of_range, fmt::format("double('{}'): the text is no number", *source));
}

Result<Operand> concat(Arguments a, LateArena& arena) {
  std::string joined;
  for (const auto& operand : a) {
    if (auto appended = append_text(operand, joined); !appended) return fail(std::move(appended).error());
  }
  return bounded(std::move(joined), arena);
}

Result<Operand> fixed(Arguments a, LateArena& arena) {
  const auto value = number(a[0]);
  if (!value) return fail(value.error());
  const auto decimals = integer(a[1]);
  if (!decimals) return fail(decimals.error());
  if (*decimals < 0 || *decimals > most_decimals) {
    return fail(ErrorCode::out_of_range,
                fmt::format("fixed() with {} decimals; 0 to {} are allowed", *decimals, most_decimals));
  }
  if (!std::isfinite(*value)) return fail(ErrorCode::out_of_range, "fixed() of no finite number");
  if (a[0].is(Kind::integer)) {
    std::string digits = std::to_string(a[0].integer);
    if (*decimals > 0) digits.append(".").append(static_cast<std::size_t>(*decimals), '0');
    return bounded(std::move(digits), arena);
  }
  std::array<char, 384> digits;
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), *value,
                                 std::chars_format::fixed, static_cast<int>(*decimals));
  return bounded(std::string(digits.data(), end.ptr), arena);
}

Result<Operand> join(Arguments a, LateArena& arena) {
  if (!a[0].is(Kind::list)) return wrong_kind("a list", a[0]);
  const auto separator = text(a[1]);
  if (!separator) return fail(separator.error());
  std::string joined;
  for (std::size_t i = 0; i < a[0].list->size(); ++i) {
    if (i > 0) joined += *separator;
    if (auto appended = append_text(Operand::of((*a[0].list)[i]), joined); !appended)
      return fail(std::move(appended).error());
    if (joined.size() > limits::value_bytes) break;  // a long list of long texts would fill the memory first
  }
  return bounded(std::move(joined), arena);
}

Result<Operand> sha256(Arguments a, LateArena& arena) { return change_text(a[0], arena, sha256_hex); }

/// A time as events and structs carry it: microseconds since 1970, or RFC 3339 text.
Result<Timestamp> time_of(const Operand& operand) {
  constexpr std::int64_t year_10000_us = 253402300800000000;
  if (operand.is(Kind::integer)) {
    if (operand.integer >= 0 && operand.integer < year_10000_us) return Timestamp(Duration(operand.integer));
    return fail(ErrorCode::out_of_range, "date() knows the years 1970 to 9999, in microseconds since 1970");
  }
  const auto source = text(operand);
  if (!source) return wrong_kind("a time (int or string)", operand);
  if (const auto time = parse_timestamp(*source)) return *time;
  return fail(ErrorCode::out_of_range,
              fmt::format("date('{}'): the text is no time such as 2010-12-01T08:26:00Z", *source));
}

/// How far the zone's wall clock is ahead of UTC then.
Result<std::chrono::seconds> offset_of(std::string_view zone, Timestamp time) {
  try {
    return date::locate_zone(std::string(zone))->get_info(date::floor<std::chrono::seconds>(time)).offset;
  } catch (const std::exception&) {
    return fail(ErrorCode::out_of_range,
                fmt::format("there is no time zone \"{}\"; names look like Europe/London", zone));
  }
}

Result<Operand> date_of(Arguments a, LateArena& arena) {
  auto time = time_of(a[0]);
  if (!time) return fail(time.error());
  if (a.size() > 1) {
    const auto zone = text(a[1]);
    if (!zone) return fail(zone.error());
    const auto offset = offset_of(*zone, *time);
    if (!offset) return fail(offset.error());
    *time += *offset;
  }
  const date::year_month_day day(date::floor<date::days>(*time));
  return arena.get().text(fmt::format("{:04}-{:02}-{:02}", static_cast<int>(day.year()),
                                      static_cast<unsigned>(day.month()), static_cast<unsigned>(day.day())));
}

Result<Operand> length(Arguments a, LateArena&) {
  const auto source = text(a[0]);
  if (!source) return fail(source.error());
  return Operand::of(static_cast<std::int64_t>(code_points(*source)));
}

Result<Operand> is_empty(Arguments a, LateArena& arena) {
  if (a[0].is(Kind::string)) return Operand::of(a[0].string.empty());
  const auto size = size_of(a, arena);
  if (!size) return wrong_kind("a string, list or map", a[0]);
  return Operand::of(size->integer == 0);
}

Result<Operand> is_blank(Arguments a, LateArena&) {
  const auto source = text(a[0]);
  if (!source) return fail(source.error());
  return Operand::of(trimmed(*source).empty());
}

Result<Operand> trim(Arguments a, LateArena&) {
  const auto source = text(a[0]);
  if (!source) return fail(source.error());
  return Operand::of(trimmed(*source));
}

template <bool (*test)(std::string_view, std::string_view)>
Result<Operand> text_test(Arguments a, LateArena&) {
  const auto source = text(a[0]);
  if (!source) return fail(source.error());
  const auto other = text(a[1]);
  if (!other) return fail(other.error());
  return Operand::of(test(*source, *other));
}
bool starts_with(std::string_view a, std::string_view b) { return a.starts_with(b); }
bool ends_with(std::string_view a, std::string_view b) { return a.ends_with(b); }
bool same_but_case(std::string_view a, std::string_view b) { return ascii_lower(a) == ascii_lower(b); }

/// The place of an element, -1 where it is not there.
Result<std::int64_t> place_in(const List& list, const Operand& wanted) {
  for (std::size_t i = 0; i < list.size(); ++i) {
    const auto same = equals(Operand::of(list[i]), wanted);
    if (!same) return fail(same.error());
    if (*same) return static_cast<std::int64_t>(i);
  }
  return std::int64_t{-1};
}

Result<Operand> index_of(Arguments a, LateArena&) {
  if (a[0].is(Kind::list)) {
    const auto place = place_in(*a[0].list, a[1]);
    if (!place) return fail(place.error());
    return Operand::of(*place);
  }
  const auto source = text(a[0]);
  if (!source) return wrong_kind("a string or list", a[0]);
  const auto wanted = text(a[1]);
  if (!wanted) return fail(wanted.error());
  const auto place = source->find(*wanted);
  if (place == std::string_view::npos) return Operand::of(std::int64_t{-1});
  return Operand::of(static_cast<std::int64_t>(code_points(source->substr(0, place))));
}

Result<Operand> contains(Arguments a, LateArena& arena) {
  if (!a[0].is(Kind::string) && !a[0].is(Kind::list)) return wrong_kind("a string or list", a[0]);
  const auto place = index_of(a, arena);
  if (!place) return place;
  return Operand::of(place->integer >= 0);
}

Result<Operand> substring(Arguments a, LateArena&) {
  const auto source = text(a[0]);
  if (!source) return fail(source.error());
  const auto size = static_cast<std::int64_t>(code_points(*source));
  const auto from = integer(a[1]);
  if (!from) return fail(from.error());
  const auto to = a.size() > 2 ? integer(a[2]) : Result<std::int64_t>(size);
  if (!to) return fail(to.error());
  if (*from < 0 || *to < *from || *to > size) {
    return fail(ErrorCode::out_of_range,
                fmt::format("substring({}, {}) of a text of {} characters", *from, *to, size));
  }
  const auto begin = byte_of(*source, static_cast<std::size_t>(*from));
  return Operand::of(source->substr(begin, byte_of(*source, static_cast<std::size_t>(*to)) - begin));
}

Result<Operand> replace(Arguments a, LateArena& arena) {
  const auto source = text(a[0]);
  if (!source) return fail(source.error());
  const auto what = text(a[1]);
  if (!what) return fail(what.error());
  const auto by = text(a[2]);
  if (!by) return fail(by.error());
  if (what->empty()) return fail(ErrorCode::out_of_range, "replace() of an empty text");
  std::string replaced;
  std::size_t done = 0;
  for (auto at = source->find(*what); at != std::string_view::npos; at = source->find(*what, done)) {
    replaced.append(source->substr(done, at - done)).append(*by);
    done = at + what->size();
    if (replaced.size() > limits::value_bytes) break;
  }
  replaced.append(source->substr(done));
  return bounded(std::move(replaced), arena);
}

Result<Operand> equals_method(Arguments a, LateArena&) {
  if (!a[0].is(Kind::string)) return wrong_kind("a string", a[0]);
  const auto same = equals(a[0], a[1]);
  if (!same) return fail(same.error());
  return Operand::of(*same);
}

Result<Operand> concat_method(Arguments a, LateArena& arena) {
  if (!a[0].is(Kind::string)) return wrong_kind("a string", a[0]);
  return concat(a, arena);
}

Result<Operand> get(Arguments a, LateArena&) {
  if (a[0].is(Kind::map)) {
    const auto name = text(a[1]);
    if (!name) return fail(name.error());
    const auto* found = a[0].map->find(*name);
    return found == nullptr ? Operand() : Operand::of(*found);
  }
  if (!a[0].is(Kind::list)) return wrong_kind("a list or map", a[0]);
  const auto place = integer(a[1]);
  if (!place) return fail(place.error());
  if (*place < 0 || *place >= static_cast<std::int64_t>(a[0].list->size())) {
    return fail(ErrorCode::out_of_range,
                fmt::format("element {} of a list of {}", *place, a[0].list->size()));
  }
  return Operand::of((*a[0].list)[static_cast<std::size_t>(*place)]);
}

Result<Operand> contains_key(Arguments a, LateArena&) {
  if (!a[0].is(Kind::map)) return wrong_kind("a map", a[0]);
  const auto name = text(a[1]);
  if (!name) return fail(name.error());
  return Operand::of(a[0].map->find(*name) != nullptr);
}

constexpr std::size_t many = 64;

constexpr Kinds a_bool = bit_of(Kind::boolean);
constexpr Kinds an_int = bit_of(Kind::integer);
constexpr Kinds a_double = bit_of(Kind::real);
constexpr Kinds a_string = bit_of(Kind::string);
constexpr Kinds a_list = bit_of(Kind::list);
constexpr Kinds a_map = bit_of(Kind::map);
constexpr Kinds a_number = an_int | a_double;
constexpr Kinds a_part = a_string | an_int | a_bool;  // what has a text form
constexpr std::array function_table = {
    Function{"size", 1, 1, size_of, a_list | a_map, 0, an_int},
    Function{"lower", 1, 1, lower, a_string, 0, a_string},
    Function{"upper", 1, 1, upper, a_string, 0, a_string},
    Function{"min", 1, many, extreme<-1>, a_number, a_number, a_number},
    Function{"max", 1, many, extreme<1>, a_number, a_number, a_number},
    Function{"abs", 1, 1, absolute, a_number, 0, a_number},
    Function{"floor", 1, 1, to_whole<std::floor>, a_number, 0, an_int},
    Function{"round", 1, 1, to_whole<std::round>, a_number, 0, an_int},
    Function{"int", 1, 1, to_integer, a_number | a_string, 0, an_int},
    Function{"double", 1, 1, to_real, a_number | a_string, 0, a_double},
    Function{"string", 1, 1, concat, a_part, 0, a_string},
    Function{"concat", 1, many, concat, a_part, a_part, a_string},
    Function{"fixed", 2, 2, fixed, a_number, an_int, a_string},
    Function{"join", 2, 2, join, a_list, a_string, a_string},
    Function{"sha256", 1, 1, sha256, a_string, 0, a_string},
    Function{"date", 1, 2, date_of, an_int | a_string, a_string, a_string},
};
constexpr std::array method_table = {
    Function{"length", 1, 1, length, a_string, 0, an_int},
    Function{"isEmpty", 1, 1, is_empty, a_string | a_list | a_map, 0, a_bool},
    Function{"isBlank", 1, 1, is_blank, a_string, 0, a_bool},
    Function{"startsWith", 2, 2, text_test<starts_with>, a_string, a_string, a_bool},
    Function{"endsWith", 2, 2, text_test<ends_with>, a_string, a_string, a_bool},
    Function{"contains", 2, 2, contains, a_string | a_list, any_kind, a_bool},
    Function{"indexOf", 2, 2, index_of, a_string | a_list, any_kind, an_int},
    Function{"substring", 2, 3, substring, a_string, an_int, a_string},
    Function{"replace", 3, 3, replace, a_string, a_string, a_string},
    Function{"trim", 1, 1, trim, a_string, 0, a_string},
    Function{"toUpperCase", 1, 1, upper, a_string, 0, a_string},
    Function{"toLowerCase", 1, 1, lower, a_string, 0, a_string},
    Function{"equals", 2, 2, equals_method, a_string, any_kind, a_bool},
    Function{"equalsIgnoreCase", 2, 2, text_test<same_but_case>, a_string, a_string, a_bool},
    Function{"concat", 2, 2, concat_method, a_string, a_part, a_string},
    Function{"size", 1, 1, size_of, a_list | a_map, 0, an_int},
    Function{"get", 2, 2, get, a_list | a_map, an_int | a_string, any_kind},
    Function{"containsKey", 2, 2, contains_key, a_map, a_string, a_bool},
};

}  // namespace

std::span<const Function> functions() noexcept { return function_table; }
std::span<const Function> methods() noexcept { return method_table; }

}  // namespace onceward::expr_detail
