#pragma once
#include "csv.hpp"

#include <onceward/task/event.hpp>

#include <array>
#include <string>
#include <vector>

namespace loyalty {

/// Turns rows of one file into events: the id comes from the column "invoice" (else "id"), the user from
/// "customer" (else "user"), the type from "type", the time from "at". Every column becomes an attribute of
/// its name: an integer where it is all digits and fits 64 bits, else text. A row whose column "reverses"
/// names another row's id takes that one back, or so much of it as the column "reversed_amount" says.
/// Immutable, so that one serves several threads.
class RowMapper {
 public:
  /// Errors: invalid_argument, naming every column that is missing.
  static onceward::Result<RowMapper> make(std::vector<std::string> header, std::string merchant,
                                          const std::string& file);

  /// What can be said of a row alone: id, user and type of the right length, a time that can be read.
  /// Errors: invalid_argument with file, line and column, by the reader that read the row.
  onceward::Result<void> check(const CsvRow& row, const CsvReader& reader) const;
  /// Writes the row into `event`, reusing what it holds. The row has passed check().
  void fill(const CsvRow& row, onceward::Event& event) const;
  [[nodiscard]] std::string_view user_of(const CsvRow& row) const noexcept {
    return row.fields[columns_[user]];
  }
  /// Writes into `shape` what tells rows of different kinds apart: the type, and which columns are integers.
  void shape(const CsvRow& row, std::string& shape) const;

 private:
  enum Needed : std::uint8_t { id, user, type, at };

  RowMapper() = default;

  std::vector<std::string> header_;
  std::string merchant_;
  std::array<std::size_t, 4> columns_{};  ///< of the needed fields
  std::size_t reverses_ = 0;              ///< its column; past the last where there is none
  std::size_t reversed_amount_ = 0;
};

}  // namespace loyalty
