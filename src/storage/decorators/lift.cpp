#include "storage/decorators/lift.hpp"

#include "storage/decorators/members.hpp"

namespace onceward::storage_detail {
namespace {

constexpr Duration small_difference = std::chrono::milliseconds(100);

}  // namespace

void Lift::apply(Record& record) const noexcept {
  if (record.due) *record.due += by_;
  if (record.expires) *record.expires += by_;
}

void Lift::apply(std::vector<std::optional<Record>>& records) const noexcept {
  for (auto& record : records) {
    if (record) apply(*record);
  }
}

void Lift::apply(CommitAnswer& answer) const noexcept {
  if (by_ == Duration::zero()) return;
  answer.now += by_;
  for (auto& batch : answer.batches) {
    if (batch.found) apply(*batch.found);
  }
}

void Lift::apply(ReadAnswer& answer) const noexcept {
  if (by_ == Duration::zero()) return;
  answer.now += by_;
  apply(answer.records);
}

void Lift::apply(ScanPage& page) const noexcept {
  if (by_ == Duration::zero()) return;
  page.now += by_;
  for (auto& record : page.records) apply(record);
}

void Lift::apply(DuePage& page) const noexcept {
  if (by_ == Duration::zero()) return;
  page.now += by_;
  if (page.next) *page.next += by_;
  for (auto& entry : page.entries) apply(entry.record);
}

Result<std::vector<Lift>> measure_lifts(const std::vector<StorageMember>& members) {
  const auto begun = std::chrono::steady_clock::now();
  std::vector<Timestamp> times;
  for (const auto& member : members) {
    const auto answer = member.storage->read({});
    if (!answer) return fail(of_member(member.name, answer.error()));
    times.push_back(answer->now);
  }
  const auto took = std::chrono::duration_cast<Duration>(std::chrono::steady_clock::now() - begun);
  const Timestamp first = *std::max_element(times.begin(), times.end());
  std::vector<Lift> lifts;
  for (const auto time : times) {
    const Duration behind = first - time;
    // What the questions took cannot be told from a difference; the lifted time is the later one.
    lifts.emplace_back(behind > small_difference + took ? behind + took : Duration::zero());
  }
  return lifts;
}

}  // namespace onceward::storage_detail
