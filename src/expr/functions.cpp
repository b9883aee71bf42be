#include "expr/functions.hpp"

#include <onceward/core/digest.hpp>

#include "expr/text.hpp"

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
              fmt::format("a {} is needed here, this is a {}", wanted, to_string(got.kind)));
}

Result<std::string_view> text(const Operand& operand) {
  if (operand.is(Kind::string)) return operand.string;
  return wrong_kind("string", operand);
}
Result<std::int64_t> integer(const Operand& operand) {
  if (operand.is(Kind::integer)) return operand.integer;
  return wrong_kind("int", operand);
}
Result<double> number(const Operand& operand) {
  if (operand.is(Kind::integer)) return static_cast<double>(operand.integer);
  if (operand.is(Kind::real)) return operand.real;
  return wrong_kind("number", operand);
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
  return wrong_kind("list or map", a[0]);
}

Result<Operand> lower(Arguments a, LateArena& arena) { return change_text(a[0], arena, ascii_lower); }
Result<Operand> upper(Arguments a, LateArena& arena) { return change_text(a[0], arena, ascii_upper); }

template <int sign>
Result<Operand> extreme(Arguments a, LateArena&) {
  Operand best = a[0];
  for (const auto& operand : a) {
    if (!operand.is_number()) return wrong_kind("number", operand);
    const auto order = compare(operand, best);
    if (!order) return fail(order.error());
    if (*order * sign > 0) best = operand;
  }
  return best;
}

Result<Operand> absolute(Arguments a, LateArena&) {
  if (a[0].is(Kind::real)) return Operand::of(std::fabs(a[0].real));
  const auto value = integer(a[0]);
  if (!value) return wrong_kind("number", a[0]);
  std::int64_t positive = *value;
  if (*value < 0 && __builtin_sub_overflow(std::int64_t{0}, *value, &positive)) {
    return fail(ErrorCode::out_of_range, "abs() of the smallest integer does not fit 64 bits");
  }
  return Operand::of(positive);
}

template <double (*round)(double)>
Result<Operand> to_whole(Arguments a, LateArena&) {
  if (a[0].is(Kind::integer)) return a[0];
  if (!a[0].is(Kind::real)) return wrong_kind("number", a[0]);
  return whole(round(a[0].real));
}

Result<Operand> to_integer(Arguments a, LateArena&) {
  if (a[0].is(Kind::integer)) return a[0];
  if (a[0].is(Kind::real)) return whole(std::trunc(a[0].real));
  const auto source = text(a[0]);
  if (!source) return wrong_kind("number or string", a[0]);
  std::int64_t value = 0;
  const char* end = source->data() + source->size();
  const auto parsed = std::from_chars(source->data(), end, value);
  if (parsed.ec == std::errc() && parsed.ptr == end && !source->empty()) return Operand::of(value);
  return fail(ErrorCode::out_of_range, fmt::format("int('{}'): the text is no 64-bit integer", *source));
}

Result<Operand> to_real(Arguments a, LateArena&) {
  if (a[0].is_number()) return Operand::of(*number(a[0]));
  const auto source = text(a[0]);
  if (!source) return wrong_kind("number or string", a[0]);
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
  if (!a[0].is(Kind::list)) return wrong_kind("list", a[0]);
  const auto separator = text(a[1]);
  if (!separator) return fail(separator.error());
  std::string joined;
  for (std::size_t i = 0; i < a[0].list->size(); ++i) {
    if (i > 0) joined += *separator;
    if (auto appended = append_text(Operand::of((*a[0].list)[i]), joined); !appended)
      return fail(std::move(appended).error());
  }
  return bounded(std::move(joined), arena);
}

Result<Operand> sha256(Arguments a, LateArena& arena) { return change_text(a[0], arena, sha256_hex); }

Result<Operand> length(Arguments a, LateArena&) {
  const auto source = text(a[0]);
  if (!source) return fail(source.error());
  return Operand::of(static_cast<std::int64_t>(code_points(*source)));
}

Result<Operand> is_empty(Arguments a, LateArena& arena) {
  if (a[0].is(Kind::string)) return Operand::of(a[0].string.empty());
  const auto size = size_of(a, arena);
  if (!size) return wrong_kind("string, list or map", a[0]);
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
  if (!source) return wrong_kind("string or list", a[0]);
  const auto wanted = text(a[1]);
  if (!wanted) return fail(wanted.error());
  const auto place = source->find(*wanted);
  if (place == std::string_view::npos) return Operand::of(std::int64_t{-1});
  return Operand::of(static_cast<std::int64_t>(code_points(source->substr(0, place))));
}

Result<Operand> contains(Arguments a, LateArena& arena) {
  if (!a[0].is(Kind::string) && !a[0].is(Kind::list)) return wrong_kind("string or list", a[0]);
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
  if (!a[0].is(Kind::string)) return wrong_kind("string", a[0]);
  const auto same = equals(a[0], a[1]);
  if (!same) return fail(same.error());
  return Operand::of(*same);
}

Result<Operand> concat_method(Arguments a, LateArena& arena) {
  if (!a[0].is(Kind::string)) return wrong_kind("string", a[0]);
  return concat(a, arena);
}

Result<Operand> get(Arguments a, LateArena&) {
  if (a[0].is(Kind::map)) {
    const auto name = text(a[1]);
    if (!name) return fail(name.error());
    const auto* found = a[0].map->find(*name);
    return found == nullptr ? Operand() : Operand::of(*found);
  }
  if (!a[0].is(Kind::list)) return wrong_kind("list or map", a[0]);
  const auto place = integer(a[1]);
  if (!place) return fail(place.error());
  if (*place < 0 || *place >= static_cast<std::int64_t>(a[0].list->size())) {
    return fail(ErrorCode::out_of_range,
                fmt::format("element {} of a list of {}", *place, a[0].list->size()));
  }
  return Operand::of((*a[0].list)[static_cast<std::size_t>(*place)]);
}

Result<Operand> contains_key(Arguments a, LateArena&) {
  if (!a[0].is(Kind::map)) return wrong_kind("map", a[0]);
  const auto name = text(a[1]);
  if (!name) return fail(name.error());
  return Operand::of(a[0].map->find(*name) != nullptr);
}

constexpr std::size_t many = 64;
constexpr std::array function_table = {
    Function{"size", 1, 1, size_of},
    Function{"lower", 1, 1, lower},
    Function{"upper", 1, 1, upper},
    Function{"min", 1, many, extreme<-1>},
    Function{"max", 1, many, extreme<1>},
    Function{"abs", 1, 1, absolute},
    Function{"floor", 1, 1, to_whole<std::floor>},
    Function{"round", 1, 1, to_whole<std::round>},
    Function{"int", 1, 1, to_integer},
    Function{"double", 1, 1, to_real},
    Function{"string", 1, 1, concat},
    Function{"concat", 1, many, concat},
    Function{"fixed", 2, 2, fixed},
    Function{"join", 2, 2, join},
    Function{"sha256", 1, 1, sha256},
};
constexpr std::array method_table = {
    Function{"length", 1, 1, length},
    Function{"isEmpty", 1, 1, is_empty},
    Function{"isBlank", 1, 1, is_blank},
    Function{"startsWith", 2, 2, text_test<starts_with>},
    Function{"endsWith", 2, 2, text_test<ends_with>},
    Function{"contains", 2, 2, contains},
    Function{"indexOf", 2, 2, index_of},
    Function{"substring", 2, 3, substring},
    Function{"replace", 3, 3, replace},
    Function{"trim", 1, 1, trim},
    Function{"toUpperCase", 1, 1, upper},
    Function{"toLowerCase", 1, 1, lower},
    Function{"equals", 2, 2, equals_method},
    Function{"equalsIgnoreCase", 2, 2, text_test<same_but_case>},
    Function{"concat", 2, 2, concat_method},
    Function{"size", 1, 1, size_of},
    Function{"get", 2, 2, get},
    Function{"containsKey", 2, 2, contains_key},
};

}  // namespace

std::span<const Function> functions() noexcept { return function_table; }
std::span<const Function> methods() noexcept { return method_table; }

}  // namespace onceward::expr_detail
