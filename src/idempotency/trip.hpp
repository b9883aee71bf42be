#pragma once
#include "idempotency/claim.hpp"
#include "idempotency/key_record.hpp"

#include <optional>
#include <span>
#include <stop_token>

// Claims and completions as protocols without I/O: a trip says what it needs next and is told what came of
// it. One at a time on a caller's thread, many side by side, or on the keeper's: the same trip.
namespace onceward::guard_detail {

class Trip {
 public:
  enum class Need : std::uint8_t { commit, read, pause, ended };

  virtual ~Trip() = default;
  [[nodiscard]] Need need() const noexcept { return need_; }
  /// Where the call goes.
  [[nodiscard]] virtual Storage& storage() const noexcept = 0;
  /// Of need commit; one operation. Who moves it out gives it back before the answer.
  [[nodiscard]] virtual Batch& batch() noexcept = 0;
  [[nodiscard]] virtual RecordRef ref() const noexcept = 0;         ///< of need read
  [[nodiscard]] Duration pause() const noexcept { return pause_; }  ///< of need pause, with jitter

  virtual void committed(Result<BatchAnswer> answer, Timestamp now) = 0;
  virtual void looked(Result<std::optional<Record>> stored, Timestamp now) = 0;
  /// After the pause, or earlier: the owner it waits for has ended, or the caller was stopped.
  virtual void paused(bool stopped) = 0;

 protected:
  Trip() = default;
  Trip(const Trip&) = default;
  Trip& operator=(const Trip&) = default;

  /// Of about this length, and not beyond `latest`.
  void pause_for(std::chrono::milliseconds length, SteadyTime latest);

  Need need_ = Need::commit;
  Duration pause_{};
};

inline constexpr auto first_pause = std::chrono::milliseconds(5);
inline constexpr auto longest_pause = std::chrono::milliseconds(200);
/// The next pause after one.
[[nodiscard]] std::chrono::milliseconds longer(std::chrono::milliseconds pause) noexcept;

[[nodiscard]] inline bool is_down(ErrorCode code) noexcept {
  return code == ErrorCode::unavailable || code == ErrorCode::timeout;
}

/// The one operation of a claim's batch, naming its key.
[[nodiscard]] Operation& operation_of(Claim& claim);

/// Claims a key: writes the claim, decides about what stands in its way, waits where the policy says so.
class ClaimTrip final : public Trip {
 public:
  /// `claim` has its policy, partition, key, owner and fingerprint; `storage` is where to begin.
  ClaimTrip(Claim& claim, Storage& storage);

  [[nodiscard]] Storage& storage() const noexcept override { return *asked_; }
  [[nodiscard]] Batch& batch() noexcept override { return claim_.batch; }
  [[nodiscard]] RecordRef ref() const noexcept override { return {claim_.partition, claim_.key}; }
  void committed(Result<BatchAnswer> answer, Timestamp now) override;
  void looked(Result<std::optional<Record>> stored, Timestamp now) override;
  void paused(bool stopped) override;

  /// Why it ended without a verdict.
  [[nodiscard]] std::optional<Error>& error() noexcept { return error_; }
  [[nodiscard]] Claim& claim() const noexcept { return claim_; }
  /// When its claim was sent, where that is renewed: the lease ends so long after it at the earliest.
  [[nodiscard]] SteadyTime written_at() const noexcept { return written_at_; }

 private:
  /// What the storage call under way is for.
  enum class At : std::uint8_t { claiming, asking_fallback, adopting, giving_back };

  void write();
  void act();
  void waits(Duration lease_left);
  void acquire(int attempt, Revision fence, Revision revision);
  void settle(Verdict verdict);
  void take_result(KeyRecord& known);
  void down(Error error);
  void judge_fallback(const std::optional<Record>& found, Timestamp now);
  void ask_fallback_again(Error error);
  void keep_what_stands(const KeyRecord& known);
  void hold();
  void give_back(Verdict verdict, Duration retry_after);
  Operation& over_own(At what);
  void end() noexcept { need_ = Need::ended; }

  Claim& claim_;
  Storage* asked_;
  At at_ = At::claiming;
  std::optional<Record> found_{};
  Timestamp now_{};
  Duration asked_at_{};  ///< since_boot() before the claim was sent
  std::optional<Error> error_{};
  std::optional<Error> unanswered_{};  ///< the claim's answer was lost: the read will tell
  std::optional<SteadyTime> waits_until_{};
  std::optional<SteadyTime> asks_until_{};  ///< of a fallback that does not answer
  std::optional<std::string> stood_{};      ///< what the claim was written over, to be put back
  Timing stood_timing_{};
  std::chrono::milliseconds pause_length_ = first_pause;
  int attempt_ = 1;
  int rounds_ = 0;
  int lost_ = 0;
  SteadyTime written_at_{};
  bool on_fallback_ = false;
  bool waited_for_fallback_ = false;
  bool reconcile_ = false;
  bool known_doubt_ = false;  ///< of the first storage, which went away then
  bool stopped_ = false;
  Verdict verdict_after_ = Verdict::in_progress;  ///< what is answered once the claim is given back
};

/// Stores how the work ended over the claim, whatever it takes, until `patience` is over.
class CompletionTrip final : public Trip {
 public:
  /// The record is the value of the claim's operation: see operation_of.
  CompletionTrip(Claim& claim, Storage& storage, Timing timing, Duration patience);

  [[nodiscard]] Storage& storage() const noexcept override { return storage_; }
  [[nodiscard]] Batch& batch() noexcept override { return claim_.batch; }
  [[nodiscard]] RecordRef ref() const noexcept override { return {claim_.partition, claim_.key}; }
  void committed(Result<BatchAnswer> answer, Timestamp now) override;
  void looked(Result<std::optional<Record>> stored, Timestamp now) override;
  void paused(bool stopped) override;

  [[nodiscard]] Completion& completion() noexcept { return completion_; }
  /// True where it ended since the storage stayed away: it may be tried again.
  [[nodiscard]] bool may_go_on() const noexcept { return may_go_on_; }
  /// Begins again, for one try after another; the next pause is a long one.
  void go_on();
  /// As if it had ended so already: go_on() makes its first try.
  void begin_in_background() noexcept;
  /// The revision of the record it wrote.
  [[nodiscard]] Revision written() const noexcept { return written_; }
  /// The next failure is the last.
  void try_once_more() noexcept;
  /// How it is written: a claim that is gone is made again, or (a release, a renewal) left alone.
  void only_over_own_claim() noexcept { only_own_ = true; }

 private:
  void write();
  static constexpr int most_refusals = 2;  ///< renewals whose answers were lost, or that were under way
  void settle(const std::optional<Record>& found);
  void again(Error error, bool read_first);
  void end(Completion completion);

  Claim& claim_;
  Storage& storage_;
  SteadyTime until_{};  ///< unset until something goes wrong
  Duration patience_;
  std::chrono::milliseconds pause_length_ = first_pause;
  bool read_first_ = false;
  bool only_own_ = false;
  bool may_go_on_ = false;
  int refusals_ = 0;
  Revision written_ = absent;
  Completion completion_{};
};

/// Waits on behalf of trips that need a pause; told how long, and whether the caller was stopped meanwhile.
class Pauser {
 public:
  virtual ~Pauser() = default;
  /// True where the caller was stopped.
  virtual bool pause(Duration length) = 0;
};

/// Runs a trip to its end on this thread.
void drive(Trip& trip, Pauser& pauser);
/// Runs many side by side: what they need of one storage goes there in one call.
void drive(std::span<Trip* const> trips, Pauser& pauser);
/// One round: commits and reads of all that need one, shared. True where any was done.
bool drive_round(std::span<Trip* const> trips);

}  // namespace onceward::guard_detail
