#pragma once
#include <onceward/journal/journal.hpp>

#include <mutex>
#include <string>
#include <vector>

namespace onceward::testing {

/// A journal that keeps everything in memory, in the order it was told. Safe from any thread.
class RecordedJournal final : public Journal {
 public:
  /// An entry with texts of its own.
  struct Line {
    std::string room, partition, subject, trigger, from, to, actor, reason;

    friend bool operator==(const Line&, const Line&) = default;
  };

  void write(const JournalEntry& entry) noexcept override;
  [[nodiscard]] std::vector<Line> lines() const;

 private:
  mutable std::mutex mutex_;
  std::vector<Line> lines_;
};

}  // namespace onceward::testing
