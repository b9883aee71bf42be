#pragma once
#include <onceward/expr/value.hpp>
#include <onceward/storage/storage.hpp>

#include <functional>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace onceward {

class Journal;

/// Where a guarded key stands, as an operator sees it.
enum class KeyStanding : std::uint8_t {
  claimed,     ///< its owner is at work, or was not longer ago than its lease
  stale,       ///< claimed, and the lease has passed
  in_doubt,    ///< its owner said that nobody knows whether the work took effect
  done,        ///< it took effect; the result is stored, or `error` says why not
  failed,      ///< it ended with a final error
  released,    ///< given back: the next call runs
  unreadable,  ///< the record is not what this version writes
};
[[nodiscard]] std::string_view to_string(KeyStanding standing) noexcept;

/// Some of them: `{KeyStanding::stale, KeyStanding::in_doubt}`.
class KeyStandings {
 public:
  constexpr KeyStandings(std::initializer_list<KeyStanding> standings) noexcept {
    for (const auto one : standings) bits_ |= 1U << static_cast<unsigned>(one);
  }
  [[nodiscard]] constexpr bool has(KeyStanding one) const noexcept {
    return (bits_ >> static_cast<unsigned>(one) & 1U) != 0;
  }
  /// What somebody has to look at.
  static constexpr KeyStandings unresolved() noexcept {
    return {KeyStanding::stale, KeyStanding::in_doubt, KeyStanding::unreadable};
  }
  static constexpr KeyStandings ended() noexcept {
    return {KeyStanding::done, KeyStanding::failed, KeyStanding::released};
  }

 private:
  unsigned bits_ = 0;
};

/// A key as it was at one moment. A plain value.
struct KeyView {
  std::string operation, key;
  KeyStanding standing = KeyStanding::claimed;
  int attempt = 0;
  Revision fence = absent;
  std::string fingerprint{};       ///< of the payload; empty where payloads are not told apart
  Value result{};                  ///< of done
  std::optional<Error> error{};    ///< of failed and in doubt; of done, why its result is not stored
  std::string resolved_by{};       ///< the operator who brought it here; empty where its owner did
  std::string reason{};            ///< that operator's
  Duration lease_left{};           ///< of claimed; negative for stale: how long ago the lease ended
  std::optional<Duration> left{};  ///< until it is forgotten; unset: never
  Duration age{};                  ///< since it was written last, or less: it is never taken for older
  Revision revision = absent;      ///< of the record
};

/// Who does it and why: both are needed, at most 128 and 1024 bytes of UTF-8.
struct By {
  std::string_view actor;
  std::string_view reason;
  /// Also over a claim whose lease has not passed: its owner, if it lives, then ends with lease_lost, or,
  /// where the key was forgotten, records its result anew.
  bool force = false;
};

/// How a key that is stale or in doubt is settled.
class Resolution {
 public:
  /// It took effect: every later call gets this result. `to_value(receipt)` makes one of an aggregate.
  static Resolution done(Value result = {}) { return Resolution(Kind::done, std::move(result), {}); }
  /// It did not and never will: every later call gets this error.
  static Resolution failed(Error error) { return Resolution(Kind::failed, {}, std::move(error)); }
  /// It did not: the next call runs, as a further attempt, also where Policy::attempts_max are used up. Of a
  /// key that its owner gave back it only says so.
  static Resolution give_back() { return Resolution(Kind::give_back, {}, {}); }

  enum class Kind : std::uint8_t { done, failed, give_back };
  [[nodiscard]] Kind kind() const noexcept { return kind_; }
  [[nodiscard]] const Value& result() const noexcept { return result_; }
  [[nodiscard]] const Error& error() const noexcept { return error_; }

 private:
  Resolution(Kind kind, Value result, Error error)
      : kind_(kind), result_(std::move(result)), error_(std::move(error)) {}
  Kind kind_;
  Value result_;
  Error error_;
};

/// What came of an operator's act. Refused, nothing was changed by it.
struct Ruling {
  /// Unset: it was done. not_found; wrong_state (done and failed never change, a live claim needs force, a
  /// released key can only be given back by an operator, once); conflict: somebody moved the key meanwhile,
  /// `key` shows to where.
  std::optional<Error> refused{};
  std::optional<KeyView> key{};  ///< as it is now; unset where there is none (any more)
  [[nodiscard]] bool done() const noexcept { return !refused; }
};

/// A page of keys. Go on while there is a cursor, also after a page without keys.
struct KeyPage {
  std::vector<KeyView> keys;
  std::string cursor;
};

struct PurgeOptions {
  std::size_t limit = 10'000;    ///< removed by one call at most; 1..1,000,000
  std::string_view cursor = {};  ///< where an earlier call stopped
  /// True: also keys whose retention has not ended, for who needs their room: a call for one runs again.
  bool within_retention = false;
};
struct Purged {
  std::size_t removed = 0;
  std::size_t looked_at = 0;
  std::string cursor;  ///< empty: the whole operation was walked through
};

/// What people do about keys: look, settle what is in doubt, forget, clear up. Every write expects the very
/// record that was read, so of two operators, or an operator and an owner that completes meanwhile, one wins
/// and the other is told. A write whose answer is lost is read back. Each act is told to the journal once it
/// is durable; a crash in between loses the line, while a resolved record itself names actor and reason.
/// Any thread; storage and journal must outlive it. Not over an enlisted storage, whose writes are durable
/// later. Results that a process keeps (Policy::replay_cache) it goes on replaying for replay_cache_for.
///
/// Errors of every call: invalid_argument (the operation, the key, the cursor, a limit, actor or reason), and
/// those of Storage.
class GuardOperator {
 public:
  explicit GuardOperator(Storage& storage, Journal* journal = nullptr) noexcept
      : storage_(storage), journal_(journal) {}

  /// One round trip. Empty where there is no such key.
  Result<std::optional<KeyView>> inspect(std::string_view operation, std::string_view key);

  /// Keys that stand so, up to `limit` (1..1000), by partition and key. At most 32 round trips: a page may
  /// have fewer keys, or none, and a cursor to go on from.
  Result<KeyPage> list(std::string_view operation, KeyStandings which, std::string_view cursor = {},
                       std::size_t limit = 100);

  /// Settles a key that is stale or in doubt, or lets one run again whose attempts are used up. It keeps what
  /// is left of its retention. Two round trips.
  Result<Ruling> resolve(std::string_view operation, std::string_view key, const Resolution& resolution,
                         const By& by);

  /// Removes a key, whatever it holds: the next call runs, as the first attempt and with a larger fence.
  /// Two round trips.
  Result<Ruling> forget(std::string_view operation, std::string_view key, const By& by);

  /// Removes ended keys (done, failed, released) that were written last longer than `older_than` ago and are
  /// past their retention, or also within it where the options say so. The storage takes keys that are past
  /// it away by itself, with the writes that follow: they are absent already, and not counted. Claims and
  /// keys in doubt stay. In batches of at most 256; a key that moves meanwhile stays; any number of processes
  /// may purge at once. `progress` is told after each batch and ends the purge by answering false. After an
  /// error what was removed stays removed. After a lost answer `removed` may count a key that another process
  /// removed.
  Result<Purged> purge(std::string_view operation, Duration older_than, const By& by,
                       const PurgeOptions& options = {},
                       const std::function<bool(const Purged&)>& progress = {});

 private:
  Storage& storage_;
  Journal* journal_;
};

}  // namespace onceward
