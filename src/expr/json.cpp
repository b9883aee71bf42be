#include <onceward/expr/value.hpp>

#include <boost/json/basic_parser_impl.hpp>
#include <boost/json/src.hpp>
#include <fmt/format.h>

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
  bool on_object_begin(error_code&) { return open(Map()); }
  bool on_object_end(std::size_t, error_code&) { return close(); }
  bool on_array_begin(error_code&) { return open(List()); }
  bool on_array_end(std::size_t, error_code&) { return close(); }
  bool on_key_part(string_view part, std::size_t, error_code&) { return append(part); }
  bool on_key(string_view part, std::size_t, error_code& error) {
    append(part);
    keys_.push_back(std::move(text_));
    text_.clear();
    if (open_.back().map()->find(keys_.back()) == nullptr) return true;
    return refuse(ErrorCode::invalid_argument, fmt::format("the member \"{}\" is there twice", keys_.back()),
                  error);
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

  bool open(Value container) {
    open_.push_back(std::move(container));
    return true;
  }
  bool close() {
    Value done = std::move(open_.back());
    open_.pop_back();
    return put(std::move(done));
  }
  bool put(Value value) {
    if (open_.empty()) {
      result = std::move(value);
    } else if (auto* list = open_.back().list()) {
      list->push_back(std::move(value));
    } else {
      open_.back().map()->set(std::move(keys_.back()), std::move(value));
      keys_.pop_back();
    }
    return true;
  }

  std::string text_;
  std::vector<std::string> keys_;
  std::vector<Value> open_;
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
