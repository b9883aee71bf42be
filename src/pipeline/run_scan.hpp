#pragma once
#include <onceward/storage/storage.hpp>

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

namespace onceward::pipeline_detail {

/// Texts of any bytes in one, for cursors: "5:first3:two".
[[nodiscard]] std::string packed(std::initializer_list<std::string_view> texts);
/// False for what is no such text.
[[nodiscard]] bool unpack(std::string_view all, std::vector<std::string>& texts);

/// Walks over the records of runs, partition after partition, a page at a time.
class RunScan {
 public:
  /// `prefix` is of the records' keys and begins with "run/". Without partitions: all that the storage lists.
  RunScan(Storage& storage, std::vector<std::string> partitions, std::string prefix, std::size_t page);

  struct Page {
    Timestamp now{};
    std::string partition;
    std::vector<Record> records;
  };
  /// The next page; `done()` holds where there was none. Errors: those of the storage.
  Result<Page> next();
  [[nodiscard]] bool done() const noexcept { return done_; }

  /// Where next() goes on; a scan that starts there meets every run that this one would have met, and may
  /// meet some again.
  [[nodiscard]] std::string cursor() const;
  /// Errors: invalid_argument, for what is no cursor.
  Result<void> go_on_from(std::string_view cursor);

 private:
  Result<bool> next_partition();

  Storage& storage_;
  bool listed_;  ///< partitions are asked of the storage
  std::string prefix_;
  std::size_t page_;
  std::vector<std::string> partitions_;
  std::size_t at_ = 0;       ///< of partitions_
  std::string list_from_{};  ///< the list's cursor that gave partitions_
  std::string list_next_{};  ///< the list's cursor after partitions_
  bool list_begun_ = false;
  std::string record_cursor_{};  ///< within the partition
  std::string wanted_{};         ///< the partition a cursor named
  bool done_ = false;
};

}  // namespace onceward::pipeline_detail
