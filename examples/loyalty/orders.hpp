#pragma once
#include "csv.hpp"
#include "files.hpp"
#include "progress.hpp"
#include "rows.hpp"

#include <onceward/task/definition.hpp>

namespace loyalty {

/// A file of orders, opened and its columns known. It is read twice: to check all of it, and to report it.
class Orders {
 public:
  /// Opens the file and reads its header. Errors: as InputFile and CsvReader::header.
  static onceward::Result<Orders> open(const std::string& path);

  [[nodiscard]] const std::vector<std::string>& columns() const noexcept { return columns_; }
  [[nodiscard]] const InputFile& file() const noexcept { return file_; }
  /// Errors: as RowMapper::make.
  onceward::Result<RowMapper> mapper(const std::string& merchant) const;
  /// A reader that stands behind the header; it must not outlive this object.
  onceward::Result<CsvReader> reader() const;

 private:
  explicit Orders(InputFile file) : file_(std::move(file)) {}

  InputFile file_;
  std::vector<std::string> columns_;
};

/// Goes through all rows before anything is stored: every row must be whole, and the campaign's expressions
/// must work on the first row of every shape (an event type with the same columns all digits). Errors:
/// invalid_argument with file, line and column.
onceward::Result<void> check_orders(const Orders& orders, const RowMapper& mapper,
                                    const onceward::CampaignDefinition& campaign, Progress& progress);

}  // namespace loyalty
