#pragma once
#include "checker.hpp"

#include <optional>

/// The lines of a history put together: calls, and what happened to each key.
namespace torture {

struct Call {
  Line begin;
  std::optional<Line> acquired, effect, refused, finishing, end;
  std::vector<Line> renewals;
  int runs = 0;  ///< how often it acquired its key

  /// The outcome this call stored or was told, where there is one.
  [[nodiscard]] bool told() const;
  /// This call's own run ended with an outcome that it was told is stored.
  [[nodiscard]] bool stored() const;
};

/// One claim: what is known of when it was made and until when it held.
struct Claim {
  const Call* call = nullptr;
  std::int64_t fence = 0;        ///< 0: not known
  int attempt = 0;               ///< 0: not known
  std::int64_t earliest = 0;     ///< it was written at this moment or later
  std::int64_t latest = 0;       ///< ... and at this one or earlier
  std::int64_t holds_until = 0;  ///< at least: the end of its lease, or when its owner began to give it up
  std::optional<std::int64_t> done_at{};  ///< its outcome was stored at this moment or earlier
  std::int64_t done_from = 0;             ///< ... and at this one or later, where it was
};

/// One key of one kind, with its claims and with the calls that were told a stored outcome.
struct KeyHistory {
  Kind kind = Kind::fenced;
  std::string key;
  std::vector<const Call*> calls;
  std::vector<Claim> claims;

  /// The claim whose run made this result; null where there is none.
  [[nodiscard]] const Claim* maker(const std::string& result) const;
};

struct Calls {
  std::vector<Call> calls;
  std::vector<Violation> broken;  ///< rule "history"
};

[[nodiscard]] Calls calls_of(const std::vector<Line>& lines);
/// `calls` must outlive the answer.
[[nodiscard]] std::vector<KeyHistory> keys_of(const std::vector<Call>& calls,
                                              std::int64_t realtime_offset_ns);

/// How long a call that ended took; time its process was stopped is not counted.
[[nodiscard]] std::int64_t taken_ns(const Call& call, const Observed& observed);

}  // namespace torture
