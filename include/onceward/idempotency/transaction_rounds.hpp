#pragma once
#include <onceward/idempotency/fast_path.hpp>
#include <onceward/idempotency/guard_access.hpp>
#include <onceward/idempotency/guards.hpp>

#include <chrono>
#include <exception>
#include <memory>
#include <mutex>

// What the rounds of a transactional call decide by. For the library's own templates.
namespace onceward::guard_detail {

/// Decides after a round that came to nothing whether another one follows, and waits until then.
class Rounds {
 public:
  enum class Step : std::uint8_t {
    beginning,  ///< there was no transaction
    claiming,
    running,  ///< the work ran, or began to
    committing,
  };

  Rounds(const Policy& policy, std::stop_token stop) noexcept;
  /// True where another round follows: the error may pass, and there is time.
  bool again(const Error& error, Step step);
  /// The same where a live claim is in the way.
  bool wait(Duration lease_left);
  /// The claim could be made: a COMMIT whose answer was lost did not happen.
  void settled() noexcept { lost_ = false; }
  /// The work has ended and how must be recorded: from here on nobody stops it but time.
  void must_record() noexcept;
  [[nodiscard]] const std::stop_token& stop() const noexcept { return stop_; }
  /// What the call ends with where no round follows.
  [[nodiscard]] Verdict verdict_of(const Error& error) const noexcept;

 private:
  using Steady = std::chrono::steady_clock;
  bool pause(Steady::time_point until, Duration most);

  const Policy& policy_;
  std::stop_token stop_;
  Steady::time_point began_ = Steady::now();
  std::optional<Steady::time_point> until_{};  ///< since the work ran
  bool lost_ = false;                          ///< a COMMIT may have happened
  bool lost_before_ = false;                   ///< one of any round: the time is given once
  bool must_record_ = false;
  Duration pause_{};
};

/// The policies of the claims of one operation, made of the one that is in force. Any thread.
class TransactionPolicies {
 public:
  struct Made {
    std::shared_ptr<const Policy> of;
    std::shared_ptr<const Policy> inside;  ///< the transaction: nothing waits in there
    std::shared_ptr<const Policy> fast;    ///< null without a fast path
  };
  explicit TransactionPolicies(const FastPath* fast) noexcept : fast_(fast) {}
  std::shared_ptr<const Made> made_of(const std::shared_ptr<const Policy>& policy);

 private:
  const FastPath* fast_;
  std::mutex mutex_;
  std::shared_ptr<const Made> made_;
};

/// Counts a call once, however it is left.
class CountedCall {
 public:
  explicit CountedCall(Counters* counters) noexcept : counters_(counters) {}
  ~CountedCall();
  CountedCall(const CountedCall&) = delete;
  CountedCall& operator=(const CountedCall&) = delete;
  void ends_as(CallEnd end) noexcept { end_ = end; }
  /// Nothing ran.
  void ends_as(Verdict verdict) noexcept;
  /// It ran, and this became of its record.
  void ends_as(CallEnd end, const Completion& completion) noexcept;

 private:
  Counters* counters_;
  CallEnd end_ = CallEnd::storage_down;
};

/// Who holds, or held last, the claim of this guard. Valid as long as the guard.
[[nodiscard]] std::string_view owner_of(const Guard& guard) noexcept;
/// What an earlier transaction of this call left behind.
enum class Left : std::uint8_t {
  nothing,
  claim,  ///< its claim alone: somebody else committed it
  end,    ///< how its work ended
};
/// Errors: those of reading.
Result<Left> left_by(Storage& storage, std::string_view operation, std::string_view key,
                     std::string_view owner);
/// Writes something that leaves nothing behind, so that a COMMIT of it reaches the disk. Errors: of writing.
Result<void> write_nothing(Storage& storage, std::string_view operation);
/// Releases the claim of work that left nothing behind but that it was tried: another payload may come with
/// the key. Errors: as Guard::release.
Result<void> give_back(Guard& guard);
/// Errors: invalid_argument naming the field that makes no sense in a transaction.
Result<void> check_transactional(const Policy& policy);
/// A storage that holds nothing, for what is bound to one before there is a transaction.
std::shared_ptr<Storage> nowhere();
/// A std::logic_error.
[[nodiscard]] std::exception_ptr ended_transaction(std::string_view operation);

}  // namespace onceward::guard_detail
