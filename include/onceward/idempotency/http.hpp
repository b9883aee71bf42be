#pragma once
#include <onceward/core/limits.hpp>
#include <onceward/idempotency/outcome.hpp>

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// Guarded calls over HTTP, as draft-ietf-httpapi-idempotency-key-header-07 asks: pure functions for
/// whichever HTTP library a service uses. Nothing here does I/O, keeps state or throws (but for lack of
/// memory); any thread may call anything.
namespace onceward::http {

/// Why a request carries no usable key. Each is a 400: nothing ran, and the client must mend its request.
enum class KeyFault : std::uint8_t {
  missing,    ///< no such header
  repeated,   ///< several header lines, or several values in one: which one is meant is not guessed
  empty,      ///< a header without a key in it
  too_long,   ///< more bytes than KeyRules::bytes_max
  unquoted,   ///< a key without quotes, and KeyRules::accept_unquoted is false
  malformed,  ///< no Structured Field String: see KeyHeader::offset
};
[[nodiscard]] std::string_view to_string(KeyFault fault) noexcept;

struct KeyRules {
  /// Takes `Idempotency-Key: 8e03978e` as well, as many clients send it: visible ASCII without `" , ; \`.
  /// It is then the same key as the quoted one.
  bool accept_unquoted = false;
  std::size_t bytes_max = 255;  ///< of a key, unescaped; what is above limits::key_bytes counts as that
};

/// What the header says: a key, or the fault that takes its place.
struct KeyHeader {
  std::string key{};                ///< unescaped, printable ASCII (0x20..0x7E); empty where there is a fault
  std::optional<KeyFault> fault{};  ///< why there is none
  std::size_t offset = 0;           ///< of malformed: the byte in the value at which it goes wrong

  explicit operator bool() const noexcept { return !fault; }
};

/// Reads the values of all `Idempotency-Key` lines of one request: a Structured Field Item (RFC 9651) that is
/// a String; its parameters are checked and ignored. Any bytes may come; the time is linear in their number.
/// A key belongs to who sent it: put the caller's own identity into the guard's key as well
/// ("#{merchant}:#{key}"), or one caller gets another's stored response.
[[nodiscard]] KeyHeader read_key(std::span<const std::string_view> lines, const KeyRules& rules = {});

struct Header {
  std::string name;
  std::string value;
  friend bool operator==(const Header&, const Header&) = default;
};
/// An answer to a request; also what a guarded handler returns, so that a replay gives the same again: stored
/// as it is, so give it replayable() headers where they come from elsewhere. To be stored the body must be
/// UTF-8 and the whole fit Policy::result_bytes_max, else the call ends as result_unavailable.
struct Response {
  int status = 200;
  std::vector<Header> headers{};
  std::string body{};
  friend bool operator==(const Response&, const Response&) = default;
};

/// Those headers that may be stored and sent again. Left out: what belongs to one connection or one moment
/// (Connection, Keep-Alive, Proxy-*, TE, Trailer, Transfer-Encoding, Upgrade, Content-Length, Date), secrets
/// of the first caller (Set-Cookie), what answer() says itself (Idempotency-Replayed), and what is no header
/// (a name that is no token; CR, LF or another control byte in the value), so that stored bytes never split a
/// response.
[[nodiscard]] std::vector<Header> replayable(std::span<const Header> headers);

/// An error as problem+json (RFC 9457). Made here it holds fixed texts alone: never a key, a payload, a
/// stored result or the message of an Error.
struct Problem {
  int status = 500;
  std::optional<std::int64_t> retry_after_s{};  ///< the header Retry-After: at least 1
  std::string type{};                           ///< a URI: what programs tell problems by
  std::string title{};
  std::string detail{};  ///< a sentence for people: what to do
};
/// The body: a JSON object with type, title, status and detail. The texts must be UTF-8.
[[nodiscard]] std::string to_json(const Problem& problem);

struct AnswerRules {
  /// Your page about idempotency keys: a problem's type is then "<documentation>#<problem>", the link the
  /// draft asks for; empty: "urn:onceward:problem:<problem>".
  std::string documentation{};
  /// Where a retry helps: the time that is told where the outcome names none, and the longest that is told
  /// where it does. It names the rest of the lease, and work mostly ends long before its lease.
  Duration retry_after = std::chrono::seconds(5);
  bool mark_replays = false;  ///< adds "Idempotency-Replayed: true" to a replay
};

[[nodiscard]] Problem problem_of(const KeyHeader& bad, const AnswerRules& rules = {});

// clang-format off
/// How a guarded call ended, where it did not end with a result; nothing where it did.
/// | outcome                     | status | Retry-After | why |
/// |-----------------------------|-----|-----|-----|
/// | a result, not of lease_lost | the application's | | also an unstored one: its own caller may know |
/// | in_progress                 | 409 | yes | the draft's: the same request again, later |
/// | key_reused                  | 422 |     | the draft's: another payload needs a key of its own |
/// | in_doubt                    | 409 | yes | asking again runs nothing, and gets the answer once |
/// |                             |     |     | it is known; a 5xx would say "failed" and invite a new key |
/// | lease_lost                  | 409 | yes | another call's outcome counts: asking again gives it |
/// | replayed, without a result  | 409 |     | OnDuplicate::code: it was done, no more is to be said |
/// | result_unavailable          | 500 |     | it took effect and its answer is gone: the service's fault, |
/// |                             |     |     | and no retry mends it (nor runs it again) |
/// | attempts_exhausted          | 500 |     | every attempt failed: an operator must look |
/// | storage_down                | 503 | yes | nothing ran: the same request again, later |
/// | ... and the error corrupt   | 500 |     | an operator must look |
/// | ... and one of a bad key    | 400 |     | invalid_argument and the like: this key cannot be stored |
/// | the handler's own error: unavailable, timeout, in_doubt | 503 | yes | not stored: it runs again |
/// | ... not_found               | 404 |     | this and those below are stored and given again |
/// | ... conflict, wrong_state   | 409 |     | |
/// | ... exhausted, corrupt      | 500 |     | |
/// | ... any other               | 400 |     | |
// clang-format on
/// Retry-After is in whole seconds, rounded up, at least 1.
[[nodiscard]] std::optional<Problem> problem_of(Verdict verdict, bool has_value, const Error* error,
                                                Duration retry_after, const AnswerRules& rules = {});
template <class T>
[[nodiscard]] std::optional<Problem> problem_of(const Outcome<T>& outcome, const AnswerRules& rules = {}) {
  return problem_of(outcome.verdict(), outcome.has_value(), outcome.error() ? &*outcome.error() : nullptr,
                    outcome.retry_after(), rules);
}

/// The problem as a response: Content-Type, Retry-After, and Cache-Control: no-store.
[[nodiscard]] Response answer(const Problem& problem);
/// What to send: the application's response with its replayable() headers, or the problem.
[[nodiscard]] Response answer(const Outcome<Response>& outcome, const AnswerRules& rules = {});

}  // namespace onceward::http
