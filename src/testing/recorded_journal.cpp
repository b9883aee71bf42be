#include <onceward/testing/recorded_journal.hpp>

namespace onceward::testing {

// A test that runs out of memory here ends: noexcept says so.
void RecordedJournal::write(const JournalEntry& entry) noexcept {
  const std::lock_guard lock(mutex_);
  lines_.push_back({std::string(entry.room), std::string(entry.partition), std::string(entry.subject),
                    std::string(entry.trigger), std::string(entry.from), std::string(entry.to),
                    std::string(entry.actor), std::string(entry.reason)});
}

std::vector<RecordedJournal::Line> RecordedJournal::lines() const {
  const std::lock_guard lock(mutex_);
  return lines_;
}

}  // namespace onceward::testing
