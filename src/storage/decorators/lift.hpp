#pragma once
#include <onceward/storage/member.hpp>

#include <vector>

namespace onceward::storage_detail {

/// One time for storages whose clocks disagree: what a storage behind says of time is shown with a constant
/// added. `now`, `due` and `expires` are lifted alike, so that what is left of a lease stays exact, and time
/// does not run back from one partition to the next. Differences below 100 ms are left alone: they cannot be
/// told from the time a call takes.
class Lift {
 public:
  explicit Lift(Duration by = Duration::zero()) noexcept : by_(by) {}

  void apply(Timestamp& now) const noexcept { now += by_; }
  void apply(Record& record) const noexcept;
  void apply(std::vector<std::optional<Record>>& records) const noexcept;
  void apply(CommitAnswer& answer) const noexcept;
  void apply(ReadAnswer& answer) const noexcept;
  void apply(ScanPage& page) const noexcept;
  void apply(DuePage& page) const noexcept;

 private:
  Duration by_;
};

/// Asks every member for its time, once. Errors: those of the members.
Result<std::vector<Lift>> measure_lifts(const std::vector<StorageMember>& members);

}  // namespace onceward::storage_detail
