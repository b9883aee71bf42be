#pragma once
#include <onceward/task/task_center.hpp>

#include "task/merchants.hpp"
#include "task/progress.hpp"

// One call of report_many, from events to batches. Everything here is pure but for what is read and written
// by the functions of report.cpp; a batch that is refused is thrown away and made anew from what is stored
// then.
namespace onceward::task_detail {

/// A contribution an event would make, if its instance is of this version (or begins with it).
struct Candidate {
  const IndexEntry* entry;
  std::string cycle;
  Contributed contributed;
};

/// An event of the call, looked at once.
struct PendingEvent {
  std::size_t place = 0;  ///< in the call
  const Event* event = nullptr;
  std::shared_ptr<const MerchantIndex> merchant;
  std::string partition;
  std::string key;
  std::string fingerprint;
  std::vector<Candidate> candidates;
};

/// Checks an event and computes what it would contribute. Errors: as TaskCenter::report.
Result<PendingEvent> look_at(const Event& event, std::size_t place,
                             std::shared_ptr<const MerchantIndex> merchant);

/// A reward that waits for a unit of its quota.
struct WaitingUnit {
  std::size_t place = 0;  ///< of the event in the call: units are taken in the order of the events
  std::size_t grant = 0;  ///< in the event's receipt
  std::string partition;
  std::string key;
  Revision revision = absent;
  UnitRecord unit;
  std::shared_ptr<const MerchantIndex> merchant;
};

/// A run that waits to be driven.
struct WaitingRun {
  std::size_t place = 0;
  std::size_t grant = 0;
  PreparedRun run;
  Revision revision = absent;
};

/// A duplicate whose receipt's grants have to be looked up.
struct KnownEvent {
  std::size_t place = 0;
  std::string id;
  std::pair<std::string, std::string> owner;  ///< merchant and user
  std::string partition;
  EventRecord record;
  std::shared_ptr<const MerchantIndex> merchant;
};

/// What applied batches have started and the call has to carry on.
struct Started {
  std::vector<WaitingUnit> units;
  std::vector<WaitingRun> runs;
  std::vector<KnownEvent> known;
  std::vector<std::pair<std::size_t, std::size_t>>
      repeats;  ///< an event given twice in one call: place, first place
};

/// What one user's events of a call do together: one batch.
class UserWork {
 public:
  /// `partition` must outlive it: the events' own.
  UserWork(std::string_view partition, const Runner& runner, Duration lease)
      : partition_(partition), runner_(runner), lease_(lease) {}

  /// Takes one more event; false where the batch would grow too large.
  bool take(PendingEvent* event);
  [[nodiscard]] const std::vector<PendingEvent*>& events() const noexcept { return events_; }
  /// The records it needs, and how many; `stored` gives them back in this order.
  void name_records(std::vector<RecordRef>& refs) const;
  [[nodiscard]] std::size_t record_count() const noexcept { return events_.size() + slots_.size(); }

  /// Applies the events in order to what is stored and makes the batch. Answers of events that need no write
  /// (a duplicate, a refusal) go to `answers`.
  void apply(std::span<std::optional<Record>> stored, std::span<Result<Receipt>> answers);

  [[nodiscard]] const Batch& batch() const noexcept { return batch_; }
  [[nodiscard]] Batch take_batch() noexcept { return std::move(batch_); }
  /// After the batch was applied: hands over what it started.
  void finish(Revision revision, Started& started);

 private:
  /// An instance some of the events may move.
  struct Slot {
    const IndexEntry* entry;
    std::string key;
    std::string cycle;
    std::optional<Instance> instance{};
    Revision revision = absent;
    bool moved = false;
  };
  /// What one event did, kept aside until the whole of it is known to be right.
  struct Effects {
    std::vector<std::pair<std::size_t, Instance>> moved;  ///< slot -> instance after the event
    EventRecord record;
    std::string encoded;  ///< the record
    std::vector<WaitingUnit> units;
    std::vector<WaitingRun> runs;
  };

  std::size_t slot_of(const IndexEntry& entry, const std::string& cycle);
  Result<Effects> effects_of(const PendingEvent& event);
  static Result<void> check_size(const PendingEvent& event, const Effects& effects);
  Result<void> reach(const PendingEvent& event, const Candidate& candidate, std::int64_t stage,
                     Effects& effects);
  bool load_slots(std::span<std::optional<Record>> stored, std::span<Result<Receipt>> answers);
  void keep(const PendingEvent& event, Effects effects, std::span<Result<Receipt>> answers);

  std::string_view partition_;
  const Runner& runner_;
  Duration lease_;
  std::vector<PendingEvent*> events_;
  std::vector<Slot> slots_;
  std::vector<const PendingEvent*> applied_;  ///< events of this batch
  Batch batch_;
  Started started_;
  std::size_t operations_ = 0;  ///< an upper bound of the batch's
};

}  // namespace onceward::task_detail
