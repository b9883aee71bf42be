#pragma once
#include <onceward/core/result.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace loyalty {

struct CsvLimits {
  std::size_t row_bytes = std::size_t{1} << 20;
  std::size_t field_bytes = std::size_t{64} << 10;
  std::size_t columns = 256;
};

/// One row. The fields are valid until the reader is asked for the next one.
struct CsvRow {
  std::vector<std::string_view> fields{};
  std::uint64_t line = 0;  ///< where it begins, from 1
};

/// Reads CSV as RFC 4180 has it (quotes, doubled quotes, line ends CRLF or LF, line breaks inside quotes), in
/// UTF-8 with or without a byte order mark, of any size in constant memory. Empty lines are passed over.
/// Every error is invalid_argument or the source's, its message beginning "file:line:column: ".
class CsvReader {
 public:
  /// Fills the span as far as it can: fewer bytes, or none, only at the end.
  using Source = std::function<onceward::Result<std::size_t>(std::span<char>)>;

  CsvReader(Source source, std::string file, CsvLimits limits = {});

  /// The names of the columns; read it once, first. Errors: no header, an empty or repeated name.
  onceward::Result<std::vector<std::string>> header();
  /// The next row, with as many fields as the header; false at the end of the file.
  onceward::Result<bool> next(CsvRow& row);

  /// An error at a field of the row read last.
  [[nodiscard]] onceward::Error error_at(std::size_t field, std::string_view message) const;
  /// Bytes of the file behind the row read last.
  [[nodiscard]] std::uint64_t bytes_read() const noexcept { return passed_ + row_begin_ + row_size_; }

 private:
  enum class Scan : std::uint8_t { row, need_more, failed };
  struct Field {
    std::size_t begin = 0;  ///< of its content, from the row's first byte
    std::size_t end = 0;
    bool doubled = false;  ///< it holds doubled quotes
  };

  onceward::Result<bool> read_row();
  onceward::Result<bool> pass_empty_lines();
  onceward::Result<void> fill();
  Scan scan_row();
  Scan scan_quoted(std::size_t& at, Field& field);
  Scan scan_plain(std::size_t& at, Field& field);
  Scan scan_end(std::size_t& at, bool& last);
  Scan fail_at(std::size_t offset, std::string_view message);
  onceward::Result<void> check_text();
  onceward::Result<void> check_fields();
  std::string_view content(const Field& field);
  [[nodiscard]] onceward::Error error_at_byte(std::size_t offset, std::string_view message) const;
  [[nodiscard]] const char* row() const noexcept { return buffer_.data() + row_begin_; }
  [[nodiscard]] std::size_t available() const noexcept { return end_ - row_begin_; }

  Source source_;
  std::string file_;
  CsvLimits limits_;
  std::vector<char> buffer_;
  std::size_t row_begin_ = 0;  ///< of the current row in the buffer
  std::size_t row_size_ = 0;   ///< with its line end
  std::size_t end_ = 0;        ///< of the bytes in the buffer
  bool finished_ = false;      ///< the source has no more
  std::uint64_t passed_ = 0;   ///< bytes before the buffer
  std::uint64_t line_ = 1;     ///< of the current row
  std::uint64_t row_lines_ = 0;
  std::vector<Field> fields_;
  std::string unquoted_;  ///< contents of fields with doubled quotes, of one row
  std::size_t columns_ = 0;
  onceward::Error failure_;
};

}  // namespace loyalty
