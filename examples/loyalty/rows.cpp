#include "rows.hpp"

#include <onceward/core/timestamp.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>

namespace loyalty {
namespace {

using onceward::ErrorCode;
using onceward::fail;
using onceward::Result;

struct NeededColumn {
  std::string_view name;
  std::string_view other_name;
  std::size_t most_bytes;  ///< as onceward::Event bounds it
};
constexpr std::array<NeededColumn, 4> needed = {
    {{"invoice", "id", 200}, {"customer", "user", 128}, {"type", "type", 64}, {"at", "at", 64}}};

std::optional<std::int64_t> integer(std::string_view text) noexcept {
  constexpr std::size_t always_fits = 18;
  if (text.empty()) return std::nullopt;
  for (const char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
  }
  std::int64_t number = 0;
  if (text.size() <= always_fits) {
    for (const char c : text) number = number * 10 + (c - '0');
    return number;
  }
  if (std::from_chars(text.data(), text.data() + text.size(), number).ec != std::errc()) return std::nullopt;
  return number;
}

onceward::Value attribute(std::string_view text) {
  if (const auto number = integer(text)) return *number;
  return text;
}

// What onceward::Event and TaskCenter take: 1900 to 2099.
using std::chrono::sys_days;
using std::chrono::year;
constexpr auto earliest = onceward::Timestamp(sys_days(year(1900) / 1 / 1).time_since_epoch());
constexpr auto latest = onceward::Timestamp(sys_days(year(2100) / 1 / 1).time_since_epoch());

}  // namespace

Result<RowMapper> RowMapper::make(std::vector<std::string> header, std::string merchant,
                                  const std::string& file) {
  RowMapper mapper;
  std::string missing;
  for (std::size_t i = 0; i < needed.size(); ++i) {
    auto found = std::find(header.begin(), header.end(), needed[i].name);
    if (found == header.end()) found = std::find(header.begin(), header.end(), needed[i].other_name);
    mapper.columns_[i] = static_cast<std::size_t>(found - header.begin());
    if (found != header.end()) continue;
    if (!missing.empty()) missing += ", ";
    missing += needed[i].name == needed[i].other_name
                   ? std::string(needed[i].name)
                   : fmt::format("{} (or {})", needed[i].name, needed[i].other_name);
  }
  if (!missing.empty()) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("{}:1:1: missing columns: {}; the first line names the columns", file, missing));
  }
  const auto place = [&](std::string_view name) {
    return static_cast<std::size_t>(std::find(header.begin(), header.end(), name) - header.begin());
  };
  mapper.reverses_ = place("reverses");
  mapper.reversed_amount_ = place("reversed_amount");
  mapper.header_ = std::move(header);
  mapper.merchant_ = std::move(merchant);
  return mapper;
}

Result<void> RowMapper::check(const CsvRow& row, const CsvReader& reader) const {
  for (std::size_t i = 0; i < needed.size(); ++i) {
    const auto size = row.fields[columns_[i]].size();
    if (size != 0 && size <= needed[i].most_bytes) continue;
    const auto& name = header_[columns_[i]];
    return fail(reader.error_at(columns_[i], size == 0 ? fmt::format("{} is empty", name)
                                                       : fmt::format("{} has {} bytes; {} are allowed", name,
                                                                     size, needed[i].most_bytes)));
  }
  constexpr std::size_t most_id_bytes = needed[id].most_bytes;
  const auto reverses =
      reverses_ < header_.size() ? std::string_view(row.fields[reverses_]) : std::string_view();
  if (reverses.size() > most_id_bytes || (!reverses.empty() && reverses == row.fields[columns_[id]]))
    return fail(reader.error_at(reverses_, fmt::format("\"{}\" is no other row's id", reverses)));
  if (reversed_amount_ < header_.size() && !row.fields[reversed_amount_].empty()) {
    const auto amount = integer(row.fields[reversed_amount_]);
    if (reverses.empty() || !amount || *amount < 1) {
      return fail(
          reader.error_at(reversed_amount_, "it must be a number above 0, of a row that reverses another"));
    }
  }
  const auto time = onceward::parse_timestamp(row.fields[columns_[at]]);
  if (time && *time >= earliest && *time < latest) return {};
  return fail(reader.error_at(columns_[at],
                              fmt::format("\"{}\" is no time such as 2010-12-01T08:26:00Z, from 1900 to 2099",
                                          row.fields[columns_[at]])));
}

void RowMapper::fill(const CsvRow& row, onceward::Event& event) const {
  if (event.merchant.empty()) {
    event.merchant = merchant_;
    event.attributes.reserve(header_.size());
  }
  event.id = row.fields[columns_[id]];
  event.user = row.fields[columns_[user]];
  event.type = row.fields[columns_[type]];
  event.at = onceward::parse_timestamp(row.fields[columns_[at]]).value_or(onceward::Timestamp{});
  if (reverses_ < header_.size()) event.reverses = row.fields[reverses_];
  if (reversed_amount_ < header_.size()) event.amount = integer(row.fields[reversed_amount_]);
  for (std::size_t i = 0; i < header_.size(); ++i) event.attributes.set(header_[i], attribute(row.fields[i]));
}

void RowMapper::shape(const CsvRow& row, std::string& shape) const {
  shape = row.fields[columns_[type]];
  shape += '\n';
  for (const auto field : row.fields) shape += integer(field) ? 'i' : 't';
}

}  // namespace loyalty
