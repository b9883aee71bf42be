#include "csv.hpp"

#include "utf8.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <set>
#include <utility>

namespace loyalty {
namespace {

using onceward::Error;
using onceward::ErrorCode;
using onceward::fail;
using onceward::Result;

constexpr std::size_t first_buffer = std::size_t{1} << 17;
constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";

constexpr bool ends_plain(char c) noexcept { return c == ',' || c == '\n' || c == '\r' || c == '"'; }

}  // namespace

CsvReader::CsvReader(Source source, std::string file, CsvLimits limits)
    : source_(std::move(source)), file_(std::move(file)), limits_(limits), buffer_(first_buffer) {}

Result<std::vector<std::string>> CsvReader::header() {
  if (auto filled = fill(); !filled) return fail(std::move(filled).error());
  if (std::string_view(row(), available()).substr(0, byte_order_mark.size()) == byte_order_mark) {
    row_begin_ += byte_order_mark.size();
  }
  const auto found = read_row();
  if (!found) return fail(found.error());
  if (!*found) return fail(error_at_byte(0, "the file is empty; its first line must name the columns"));
  if (fields_.size() > limits_.columns) {
    return fail(error_at_byte(0, fmt::format("{} columns; {} are allowed", fields_.size(), limits_.columns)));
  }
  columns_ = fields_.size();
  std::vector<std::string> names;
  std::set<std::string_view> known;
  names.reserve(columns_);
  for (std::size_t i = 0; i < columns_; ++i) {
    names.emplace_back(content(fields_[i]));
    if (names.back().empty()) return fail(error_at(i, fmt::format("column {} has no name", i + 1)));
    if (!known.insert(names.back()).second) {
      return fail(error_at(i, fmt::format("a second column \"{}\"; names must differ", names.back())));
    }
  }
  return names;
}

Result<bool> CsvReader::next(CsvRow& target) {
  const auto found = read_row();
  if (!found || !*found) return found;
  if (fields_.size() != columns_) {
    const bool few = fields_.size() < columns_;
    const auto place = few ? fields_.back().end : fields_[columns_].begin;
    return fail(error_at_byte(place, fmt::format("too {} fields: {} instead of {}{}", few ? "few" : "many",
                                                 fields_.size(), columns_,
                                                 few && finished_ && row_size_ == available()
                                                     ? "; it is the last row, the file may be cut off"
                                                     : "")));
  }
  target.line = line_;
  target.fields.resize(columns_);
  for (std::size_t i = 0; i < columns_; ++i) target.fields[i] = content(fields_[i]);
  return true;
}

/// Finds the next row that is not empty and takes it apart into fields_.
Result<bool> CsvReader::read_row() {
  row_begin_ += std::exchange(row_size_, 0);
  line_ += std::exchange(row_lines_, 0);
  unquoted_.clear();
  const auto more = pass_empty_lines();
  if (!more || !*more) return more;
  for (;;) {
    const auto scan = scan_row();
    if (scan == Scan::failed) return fail(failure_);
    if (scan == Scan::row) break;
    if (auto filled = fill(); !filled) return fail(std::move(filled).error());
  }
  if (auto text = check_text(); !text) return fail(std::move(text).error());
  if (auto checked = check_fields(); !checked) return fail(std::move(checked).error());
  return true;
}

Result<bool> CsvReader::pass_empty_lines() {
  for (;;) {
    if (available() < 2 && !finished_) {
      if (auto filled = fill(); !filled) return fail(std::move(filled).error());
    }
    if (available() == 0) return false;
    const bool crlf = available() >= 2 && row()[0] == '\r' && row()[1] == '\n';
    if (!crlf && row()[0] != '\n') return true;
    row_begin_ += crlf ? 2 : 1;
    ++line_;
  }
}

/// Moves the current row to the front and reads behind it, into a larger buffer where the row fills this one.
Result<void> CsvReader::fill() {
  std::memmove(buffer_.data(), row(), available());
  passed_ += row_begin_;
  end_ = available();
  row_begin_ = 0;
  if (end_ > limits_.row_bytes) {
    return fail(
        error_at_byte(0, fmt::format("a row of more than {} bytes; is a quote missing?", limits_.row_bytes)));
  }
  if (end_ == buffer_.size()) buffer_.resize(buffer_.size() * 2);
  while (!finished_ && end_ < buffer_.size()) {
    const auto got = source_(std::span(buffer_).subspan(end_));
    if (!got) return fail(got.error());
    finished_ = *got == 0;
    end_ += *got;
  }
  return {};
}

CsvReader::Scan CsvReader::scan_row() {
  fields_.clear();
  row_lines_ = 0;
  std::size_t at = 0;
  for (bool last = false; !last;) {
    Field field;
    const bool quoted = at < available() && row()[at] == '"';
    if (at == available() && !finished_) return Scan::need_more;
    const auto content_scan = quoted ? scan_quoted(at, field) : scan_plain(at, field);
    if (content_scan != Scan::row) return content_scan;
    fields_.push_back(field);
    if (const auto end_scan = scan_end(at, last); end_scan != Scan::row) return end_scan;
  }
  row_size_ = at;
  return Scan::row;
}

CsvReader::Scan CsvReader::scan_quoted(std::size_t& at, Field& field) {
  const auto opening = at;
  field.begin = at + 1;
  for (auto from = field.begin;;) {
    const void* found = from < available() ? std::memchr(row() + from, '"', available() - from) : nullptr;
    if (found == nullptr) {
      return finished_ ? fail_at(opening, "a quote that is never closed") : Scan::need_more;
    }
    const auto quote = static_cast<std::size_t>(static_cast<const char*>(found) - row());
    if (quote + 1 == available() && !finished_) return Scan::need_more;
    if (quote + 1 == available() || row()[quote + 1] != '"') {
      field.end = quote;
      at = quote + 1;
      row_lines_ += static_cast<std::uint64_t>(std::count(row() + field.begin, row() + field.end, '\n'));
      return Scan::row;
    }
    field.doubled = true;
    from = quote + 2;
  }
}

CsvReader::Scan CsvReader::scan_plain(std::size_t& at, Field& field) {
  const char* const begin = row();
  const auto size = available();
  field.begin = at;
  while (at < size && !ends_plain(begin[at])) ++at;
  field.end = at;
  if (at == size) return finished_ ? Scan::row : Scan::need_more;
  if (begin[at] == '"') return fail_at(at, "a quote inside a field that does not begin with one");
  return Scan::row;
}

/// What stands behind a field: a comma, the end of the line, or the end of the file.
CsvReader::Scan CsvReader::scan_end(std::size_t& at, bool& last) {
  if (at == available()) {
    last = true;
    return finished_ ? Scan::row : Scan::need_more;
  }
  const char c = row()[at];
  if (c == ',') {
    ++at;
    return Scan::row;
  }
  last = true;
  if (c == '\r') {
    if (at + 1 == available() && !finished_) return Scan::need_more;
    if (at + 1 == available() || row()[at + 1] != '\n') {
      return fail_at(at, "a carriage return without a line feed");
    }
    ++at;
  } else if (c != '\n') {
    return fail_at(at, "text after a closing quote; a quote inside a quoted field is written twice");
  }
  ++at;
  ++row_lines_;
  return Scan::row;
}

CsvReader::Scan CsvReader::fail_at(std::size_t offset, std::string_view message) {
  failure_ = error_at_byte(offset, message);
  return Scan::failed;
}

Result<void> CsvReader::check_text() {
  const std::string_view text(row(), row_size_);
  if (text.size() > limits_.row_bytes) {
    return fail(
        error_at_byte(0, fmt::format("a row of {} bytes; {} are allowed", text.size(), limits_.row_bytes)));
  }
  if (const auto nul = text.find('\0'); nul != std::string_view::npos) {
    return fail(error_at_byte(nul, "a zero byte; this is no text file"));
  }
  if (const auto bad = first_not_utf8(text); bad != std::string_view::npos) {
    return fail(error_at_byte(bad, "bytes that are no UTF-8; save the file as UTF-8"));
  }
  return {};
}

Result<void> CsvReader::check_fields() {
  for (const auto& field : fields_) {
    if (field.end - field.begin <= limits_.field_bytes) continue;
    return fail(error_at_byte(field.begin, fmt::format("a field of {} bytes; {} are allowed",
                                                       field.end - field.begin, limits_.field_bytes)));
  }
  return {};
}

std::string_view CsvReader::content(const Field& field) {
  const std::string_view raw(row() + field.begin, field.end - field.begin);
  if (!field.doubled) return raw;
  // Room for the whole row at once: views of earlier fields stay where they are.
  unquoted_.reserve(row_size_);
  const auto begin = unquoted_.size();
  for (std::size_t i = 0; i < raw.size(); ++i) {
    unquoted_ += raw[i];
    if (raw[i] == '"') ++i;
  }
  return std::string_view(unquoted_).substr(begin);
}

Error CsvReader::error_at(std::size_t field, std::string_view message) const {
  return error_at_byte(field < fields_.size() ? fields_[field].begin : 0, message);
}

Error CsvReader::error_at_byte(std::size_t offset, std::string_view message) const {
  const std::string_view before(row(), std::min(offset, available()));
  const auto lines = static_cast<std::uint64_t>(std::count(before.begin(), before.end(), '\n'));
  const auto line_start = before.rfind('\n');
  const auto column = line_start == std::string_view::npos ? before.size() : before.size() - line_start - 1;
  return {ErrorCode::invalid_argument,
          fmt::format("{}:{}:{}: {}", file_, line_ + lines, column + 1, message)};
}

}  // namespace loyalty
