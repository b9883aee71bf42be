#include "idempotency/counters.hpp"

#include <numeric>

namespace onceward {

std::string_view to_string(CallEnd end) noexcept {
  static constexpr std::array<std::string_view, call_ends> names = {
      "executed",   "failed",     "released",   "left_in_doubt",      "replayed",     "in_progress",
      "key_reused", "in_doubt",   "lease_lost", "result_unavailable", "storage_down", "attempts_exhausted",
      "unguarded",  "unrecorded", "refused"};
  return names[static_cast<std::size_t>(end)];
}

std::uint64_t CallFigures::total() const noexcept {
  return std::accumulate(ended.begin(), ended.end(), std::uint64_t{0});
}

namespace guard_detail {

CallFigures Counters::figures() const noexcept {
  CallFigures figures;
  for (std::size_t i = 0; i < call_ends; ++i) figures.ended[i] = ended_[i].load(std::memory_order_relaxed);
  return figures;
}

Counters& CounterBook::of(std::string_view operation) {
  const std::lock_guard lock(mutex_);
  const auto found = counters_.find(operation);
  if (found != counters_.end()) return found->second;
  return counters_.try_emplace(std::string(is_operation_name(operation) ? operation : no_operation))
      .first->second;
}

CallFigures CounterBook::figures(std::string_view operation) const {
  const std::lock_guard lock(mutex_);
  const auto found = counters_.find(operation);
  return found == counters_.end() ? CallFigures() : found->second.figures();
}

std::map<std::string, CallFigures> CounterBook::figures() const {
  const std::lock_guard lock(mutex_);
  std::map<std::string, CallFigures> all;
  for (const auto& [operation, counters] : counters_) all.emplace(operation, counters.figures());
  return all;
}

CallEnd end_of(const Completion& completion, CallEnd end) noexcept {
  if (completion.verdict == Verdict::lease_lost) return CallEnd::lease_lost;
  if (!completion.recorded) return CallEnd::unrecorded;
  return completion.verdict == Verdict::result_unavailable ? CallEnd::result_unavailable : end;
}

CallEnd end_of(Verdict verdict) noexcept {
  switch (verdict) {
    case Verdict::executed: return CallEnd::executed;
    case Verdict::replayed: return CallEnd::replayed;
    case Verdict::in_progress: return CallEnd::in_progress;
    case Verdict::key_reused: return CallEnd::key_reused;
    case Verdict::in_doubt: return CallEnd::in_doubt;
    case Verdict::lease_lost: return CallEnd::lease_lost;
    case Verdict::result_unavailable: return CallEnd::result_unavailable;
    case Verdict::storage_down: return CallEnd::storage_down;
    case Verdict::attempts_exhausted: return CallEnd::attempts_exhausted;
  }
  return CallEnd::refused;
}

}  // namespace guard_detail
}  // namespace onceward
