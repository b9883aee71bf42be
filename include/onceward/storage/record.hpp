#pragma once
#include <onceward/core/clock.hpp>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace onceward {

/// Grows with every write of a key, also across removal and expiry: max(previous + 1, storage time in
/// microseconds). A larger one is always the later write: the fencing token.
using Revision = std::int64_t;
/// What a condition on absence expects; no record ever has it.
inline constexpr Revision absent = 0;

using Shard = std::uint32_t;

/// When a record asks for attention (`due_in`) and when it ends to exist (`expires_in`), both counted from
/// the storage's own clock at the moment of the write. Unset means never. Neither may be negative.
struct Timing {
  std::optional<Duration> due_in{};
  std::optional<Duration> expires_in{};
};

/// What a storage holds under a key of a partition.
struct Record {
  std::string key;
  std::string value;
  Revision revision = absent;
  std::optional<Timestamp> due{};
  std::optional<Timestamp> expires{};

  friend bool operator==(const Record&, const Record&) = default;
};

/// The name of a record. The strings must outlive the call it is passed to.
struct RecordRef {
  std::string_view partition;
  std::string_view key;
};

/// One write or condition on one key. Make one with the functions below.
struct Operation {
  enum class Kind : std::uint8_t { insert, replace, remove, require, add };

  Kind kind = Kind::require;
  std::string key;
  std::string value{};         ///< insert and replace
  Revision expected = absent;  ///< replace, remove and require; insert: of a record known to have been there
  Timing timing{};             ///< insert and replace; add: on creation only
  std::int64_t delta = 0;      ///< add
  std::int64_t least = std::numeric_limits<std::int64_t>::min();  ///< add: refused below
  std::int64_t most = std::numeric_limits<std::int64_t>::max();   ///< add: refused above

  /// Writes a record that must be absent (or expired).
  static Operation insert(std::string key, std::string value, Timing timing = {}) {
    return {.kind = Kind::insert, .key = std::move(key), .value = std::move(value), .timing = timing};
  }
  /// The same for a record that its writer knows to have been there with this revision, and that must be
  /// gone. The new revision is greater. A storage that has lost its data, and so trusts no absence, takes it
  /// still. `known` is a revision that the storage gave, at most 2^53 - 2.
  static Operation insert_again(std::string key, Revision known, std::string value, Timing timing = {}) {
    auto operation = insert(std::move(key), std::move(value), timing);
    operation.expected = known;
    return operation;
  }
  /// Writes over the record of exactly this revision. Due and expiry are set anew: unset clears them.
  static Operation replace(std::string key, Revision expected, std::string value, Timing timing = {}) {
    return {.kind = Kind::replace,
            .key = std::move(key),
            .value = std::move(value),
            .expected = expected,
            .timing = timing};
  }
  /// Removes the record of exactly this revision.
  static Operation remove(std::string key, Revision expected) {
    return {.kind = Kind::remove, .key = std::move(key), .expected = expected};
  }
  /// Writes nothing; the batch holds only if the record has this revision, or is absent.
  static Operation require(std::string key, Revision expected) {
    return {.kind = Kind::require, .key = std::move(key), .expected = expected};
  }
  /// Adds to a counter (a record whose value is a decimal integer; absent counts as 0). Refused where the
  /// sum would leave [least, most] or 64 bits: it never oversells and needs no read.
  static Operation add(std::string key, std::int64_t delta,
                       std::int64_t least = std::numeric_limits<std::int64_t>::min(),
                       std::int64_t most = std::numeric_limits<std::int64_t>::max(), Timing timing = {}) {
    return {.kind = Kind::add,
            .key = std::move(key),
            .timing = timing,
            .delta = delta,
            .least = least,
            .most = most};
  }
};

/// Operations on one partition that happen together or not at all. No key may appear twice.
/// Put the condition most likely to fail first: operations are tried in order.
struct Batch {
  std::string partition;
  std::vector<Operation> operations;
};

/// What became of a batch. Applied: every record written has `revision`; `counters` holds the new value of
/// each add, in order. Refused: nothing changed; `refused` is the index of the operation that failed and
/// `found` the record it met (empty where there was none).
struct BatchAnswer {
  static constexpr std::size_t none = static_cast<std::size_t>(-1);

  std::size_t refused = none;
  Revision revision = absent;
  std::vector<std::int64_t> counters{};
  std::optional<Record> found{};

  [[nodiscard]] bool applied() const noexcept { return refused == none; }
};

}  // namespace onceward
