#pragma once
#include <onceward/idempotency/guard.hpp>

// The states of a key as data, and what a claim makes of each, as a pure function.
namespace onceward::guard_detail {

enum class KeyState : std::uint8_t { claimed, done, failed, released };

/// What the record of a key holds, to be written: nothing is copied.
struct KeyRecordView {
  KeyState state = KeyState::claimed;
  std::string_view owner;
  int attempt = 1;
  Revision fence = absent;
  std::string_view fingerprint{};
  const Value* result = nullptr;  ///< of done
  const Error* error = nullptr;   ///< of failed, and in the place of a result that cannot be stored
};

/// What the record of a key holds, as it was read.
struct KeyRecord {
  using State = KeyState;
  State state = State::claimed;
  std::string owner;
  int attempt = 1;
  Revision fence =
      absent;  ///< of the claim that ended; while claimed it is the record's own revision, or older
  std::string fingerprint{};
  Value result{};
  Error error{};          ///< of failed, and of an unstored result
  bool unstored = false;  ///< done, but its result is not here: `error` says why

  [[nodiscard]] bool has_error() const noexcept { return state == State::failed || unstored; }
};

/// A message of an error is cut to 4096 bytes.
[[nodiscard]] std::string encode(const KeyRecordView& record);
/// Whether the encoded record of a result can be read again: it may be no UTF-8, or be nested too deeply.
[[nodiscard]] bool reads_back(std::string_view encoded, const Value& result);
/// Errors: corrupt.
Result<KeyRecord> decode_key_record(const Record& record);

/// What a caller does about a key it found taken.
struct Decision {
  enum class Kind : std::uint8_t {
    answer,  ///< give the verdict
    resume,  ///< the claim is this caller's own: its answer had been lost
    take,    ///< write a new claim over the record
    wait,    ///< look again later
  };
  Kind kind = Kind::answer;
  Verdict verdict = Verdict::executed;
  Duration retry_after{};
};

/// `lease_left` is what remains of the record's lease, negative or zero where it has passed.
[[nodiscard]] Decision decide(const KeyRecord& found, Duration lease_left, const Policy& policy,
                              std::string_view owner, std::string_view fingerprint);

}  // namespace onceward::guard_detail
