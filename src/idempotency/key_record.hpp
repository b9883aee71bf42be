#pragma once
#include <onceward/expr/value.hpp>
#include <onceward/storage/record.hpp>

// What is stored under a guarded key: read and written here, decided about in machine.hpp.
namespace onceward::guard_detail {

enum class KeyState : std::uint8_t { claimed, done, failed, released, in_doubt };

/// What the record of a key holds, to be written: nothing is copied.
struct KeyRecordView {
  KeyState state = KeyState::claimed;
  std::string_view owner;
  int attempt = 1;
  Revision fence = absent;
  std::string_view fingerprint{};
  std::string_view result{};     ///< of done: JSON text
  const Error* error = nullptr;  ///< of failed and in doubt, and in the place of a result that is not stored
  std::string_view resolved_by{};  ///< the operator who moved it, and why
  std::string_view reason{};
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
  Error error{};          ///< of failed and in doubt, and of an unstored result
  bool unstored = false;  ///< done, but its result is not here: `error` says why
  std::string resolved_by{};
  std::string reason{};

  [[nodiscard]] bool has_error() const noexcept {
    return state == State::failed || state == State::in_doubt || unstored;
  }
};

[[nodiscard]] std::string_view to_string(KeyState state) noexcept;

/// An error as a record holds it: the first 4096 bytes of its message, in UTF-8 (other text in ASCII alone).
[[nodiscard]] Error as_stored(const Error& error);
/// Writes the record in the place of what is in `text`. A message of an error is cut to 4096 bytes.
void encode_into(std::string& text, const KeyRecordView& record);
[[nodiscard]] std::string encode(const KeyRecordView& record);
/// Whether JSON text of a result can be read again as part of a record: it may be no UTF-8, or be nested too
/// deeply.
[[nodiscard]] bool reads_back(std::string_view json) noexcept;
/// Errors: corrupt.
Result<KeyRecord> decode_key_record(const Record& record);

}  // namespace onceward::guard_detail
