#include "storage/redis/record_text.hpp"

#include <charconv>

namespace onceward::redis::detail {
namespace {

/// The number before the next `end`, which is taken off with it.
std::optional<std::int64_t> take_number(std::string_view& text, char end) {
  std::int64_t number = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const auto length = static_cast<std::size_t>(stop - text.data());
  if (error != std::errc() || length >= text.size() || text[length] != end) return std::nullopt;
  text.remove_prefix(length + 1);
  return number;
}

bool take_time(std::string_view& text, std::optional<Timestamp>& time) {
  if (text.starts_with("- ")) {
    text.remove_prefix(2);
    return true;
  }
  const auto number = take_number(text, ' ');
  if (number) time = Timestamp(Duration(*number));
  return number.has_value();
}

}  // namespace

std::optional<Record> parse_record(std::string_view key, std::string_view text) {
  Record record{std::string(key), {}};
  const auto revision = take_number(text, ' ');
  if (!revision || !take_time(text, record.due) || !take_time(text, record.expires)) return std::nullopt;
  record.revision = *revision;
  record.value = text;
  return record;
}

void append_record_id(std::string& out, std::string_view partition, std::string_view key) {
  char digits[24];
  const char* const end = std::to_chars(digits, digits + sizeof digits, partition.size()).ptr;
  out.append(digits, static_cast<std::size_t>(end - digits))
      .append(":")
      .append(partition)
      .append(":")
      .append(key);
}

std::optional<std::pair<std::string_view, std::string_view>> parse_record_id(std::string_view id) {
  const auto length = take_number(id, ':');
  if (!length || *length < 0) return std::nullopt;
  const auto bytes = static_cast<std::size_t>(*length);
  if (bytes >= id.size() || id[bytes] != ':') return std::nullopt;
  return std::pair(id.substr(0, bytes), id.substr(bytes + 1));
}

}  // namespace onceward::redis::detail
