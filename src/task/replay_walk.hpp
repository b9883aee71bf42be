#pragma once
#include <onceward/storage/storage.hpp>

#include "task/merchants.hpp"

#include <set>

namespace onceward::task_detail {

/// Walks over the records a replay may concern, of one user or of all of a merchant's: his instances, then
/// the runs he has as a group's member. Each step is one round trip, however many users there are.
class ReplayWalk {
 public:
  /// `user` empty: all; `task` empty: all. `index` must outlive it.
  ReplayWalk(Storage& storage, const MerchantIndex& index, std::string merchant, std::string_view user,
             std::string task);

  struct Page {
    Timestamp now{};
    std::string partition;
    std::string user;
    bool instances = true;  ///< else runs of a member
    std::vector<Record> records;
  };
  /// One step, of at most so many records, while it is not done: it may find none. Errors: those of the
  /// storage.
  Result<Page> next(std::size_t most);
  [[nodiscard]] bool done() const noexcept;
  /// Goes on behind this record of the last page.
  void go_on_behind(std::string key);

  /// While it is not done.
  [[nodiscard]] std::string cursor() const;
  /// Errors: invalid_argument, for what is no cursor.
  Result<void> go_on_from(std::string_view cursor);

 private:
  /// Where the next step reads.
  struct Place {
    std::size_t partition = 0;  ///< of partitions_
    std::string prefix{};       ///< the first one that is not before it
    std::string behind{};       ///< this key
  };
  [[nodiscard]] std::set<std::string> prefixes_of(std::string_view user) const;
  Result<void> list();
  Result<ScanPage> scan_board(const std::string& partition, std::size_t most);

  Storage& storage_;
  const MerchantIndex& index_;
  std::string merchant_;
  std::string task_;
  std::string users_;      ///< what their partitions begin with
  std::string instances_;  ///< what their keys begin with
  bool listed_;            ///< partitions are asked of the storage
  bool begun_ = false;
  std::vector<std::string> partitions_{};
  std::string list_from_{};
  std::string list_next_{};
  std::string wanted_{};  ///< the partition a cursor named
  Place at_{};
  Place last_{};
};

}  // namespace onceward::task_detail
