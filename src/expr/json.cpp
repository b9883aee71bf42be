#include <onceward/expr/value.hpp>

#include <boost/json/basic_parser_impl.hpp>
#include <boost/json/src.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>

namespace onceward {
namespace {

/// Receives what Boost.JSON's parser finds and builds the value directly. Numbers are read from their own
/// text, so that a double is the nearest one and an integer never passes through a double.
class Builder {
 public:
  constexpr static std::size_t max_object_size = limits::json_bytes;
  constexpr static std::size_t max_array_size = limits::json_bytes;
  constexpr static std::size_t max_key_size = limits::json_bytes;
  constexpr static std::size_t max_string_size = limits::json_bytes;
  using error_code = boost::json::error_code;
  using string_view = boost::json::string_view;

  Value result{};
  std::optional<Error> refusal{};

  bool on_document_begin(error_code&) { return true; }
  bool on_document_end(error_code&) { return true; }
  bool on_object_begin(error_code&) { return open(true); }
  bool on_object_end(std::size_t, error_code& error) { return close_object(error); }
  bool on_array_begin(error_code&) { return open(false); }
  bool on_array_end(std::size_t, error_code&) { return close_array(); }
  bool on_key_part(string_view part, std::size_t, error_code&) { return append(part); }
  bool on_key(string_view part, std::size_t, error_code&) {
    append(part);
    open_.back().members.emplace_back().first = std::move(text_);
    text_.clear();
    return true;
  }
  bool on_string_part(string_view part, std::size_t, error_code&) { return append(part); }
  bool on_string(string_view part, std::size_t, error_code&) {
    append(part);
    const bool kept = put(Value(std::move(text_)));
    text_.clear();
    return kept;
  }
  bool on_number_part(string_view part, error_code&) { return append(part); }
  bool on_int64(std::int64_t, string_view part, error_code& error) { return on_number(part, error); }
  bool on_uint64(std::uint64_t, string_view part, error_code& error) { return on_number(part, error); }
  bool on_double(double, string_view part, error_code& error) { return on_number(part, error); }
  bool on_bool(bool value, error_code&) { return put(Value(value)); }
  bool on_null(error_code&) { return put(Value()); }
  bool on_comment_part(string_view, error_code&) { return true; }
  bool on_comment(string_view, error_code&) { return true; }

 private:
  bool append(string_view part) {
    text_.append(part.data(), part.size());
    return true;
  }

  bool on_number(string_view part, error_code& error) {
    append(part);
    const std::string text = std::move(text_);
    text_.clear();
    const char* end = text.data() + text.size();
    if (text.find_first_of(".eE") == std::string::npos) {
      std::int64_t number = 0;
      if (std::from_chars(text.data(), end, number).ec == std::errc()) return put(Value(number));
      return refuse(ErrorCode::out_of_range, fmt::format("{} is no 64-bit integer", text), error);
    }
    double number = 0;
    if (std::from_chars(text.data(), end, number).ec == std::errc()) return put(Value(number));
    return refuse(ErrorCode::out_of_range, fmt::format("{} is no double", text), error);
  }

  bool refuse(ErrorCode code, std::string message, error_code& error) {
    refusal = Error{code, std::move(message)};
    error = boost::json::error::syntax;
    return false;
  }

  bool open(bool is_object) {
    open_.push_back({is_object, {}, {}});
    return true;
  }
  bool close_array() {
    List done = std::move(open_.back().elements);
    open_.pop_back();
    return put(Value(std::move(done)));
  }
  bool close_object(error_code& error) {
    auto members = std::move(open_.back().members);
    open_.pop_back();
    const auto before = [](const Map::Entry& x, const Map::Entry& y) { return x.first < y.first; };
    const auto same = [](const Map::Entry& x, const Map::Entry& y) { return x.first == y.first; };
    std::sort(members.begin(), members.end(), before);
    const auto twin = std::adjacent_find(members.begin(), members.end(), same);
    if (twin == members.end()) return put(Value(Map::from_entries(std::move(members))));
    return refuse(ErrorCode::invalid_argument, fmt::format("the member \"{}\" is there twice", twin->first),
                  error);
  }
  // Not inlined: GCC 12 would take the unused alternatives of a moved variant for read ones
  // (-Wmaybe-uninitialized).
  [[gnu::noinline]] bool put(Value value) {
    if (open_.empty()) {
      result = std::move(value);
    } else if (open_.back().is_object) {
      open_.back().members.back().second = std::move(value);
    } else {
      open_.back().elements.push_back(std::move(value));
    }
    return true;
  }

  /// A list or an object that is not closed yet.
  struct Container {
    bool is_object;
    List elements;
    std::vector<Map::Entry> members;
  };
  std::string text_;
  std::vector<Container> open_;
};

}  // namespace

Result<Value> Value::from_json(std::string_view text) {
  if (text.size() > limits::json_bytes) {
    return fail(ErrorCode::limit_exceeded, fmt::format("the JSON text has {} bytes, at most {} are allowed",
                                                       text.size(), limits::json_bytes));
  }
  boost::json::parse_options options;
  options.max_depth = limits::json_depth;
  boost::json::basic_parser<Builder> parser(options);
  boost::json::error_code error;
  const std::size_t used = parser.write_some(false, text.data(), text.size(), error);
  if (!error && used < text.size()) error = boost::json::error::extra_data;
  if (!error) return std::move(parser.handler().result);
  if (parser.handler().refusal) {
    auto refusal = *std::move(parser.handler().refusal);
    refusal.offset = used;
    return fail(std::move(refusal));
  }
  if (error == boost::json::error::too_deep) {
    return fail(ErrorCode::limit_exceeded,
                fmt::format("the JSON text is nested deeper than {}", limits::json_depth), 0, used);
  }
  return fail(ErrorCode::syntax, "the text is no JSON: " + error.message(), 0, used);
}

}  // namespace onceward
