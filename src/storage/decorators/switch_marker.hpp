#pragma once
#include <onceward/storage/storage.hpp>

#include <string>

// What a switchable storage writes down: the generation for all, and for each partition who may write it.
namespace onceward::storage_detail {

/// One of the two storages, in the order of their names.
using Side = std::size_t;
[[nodiscard]] constexpr Side other_side(Side side) noexcept { return 1 - side; }

/// Generations alternate, so that a number alone says which storage is its primary: nobody can disagree.
[[nodiscard]] constexpr Side primary_of(std::int64_t generation, Side origin) noexcept {
  return generation % 2 == 1 ? origin : other_side(origin);
}

inline constexpr std::string_view switch_partition = "onceward/switch";
inline constexpr std::string_view state_key = "state";
inline constexpr std::string_view marker_key = "~onceward/switch";

/// A partition's marker in one of the storages. It is never removed, and its generation never sinks.
struct Marker {
  enum class State : std::uint8_t {
    none,    ///< never written: open in the storage that was the first primary, closed in the other
    open,    ///< written here since `generation`; the other storage may hold records that are not moved yet
    whole,   ///< as open, and the other storage holds none
    frozen,  ///< written in the other storage since `generation`; here records are only moved away
  };
  State state = State::none;
  std::int64_t generation = 0;
  Revision revision = absent;  ///< of the marker itself, by which it is compared

  /// May a batch be written to this storage?
  [[nodiscard]] bool writable(bool origin) const noexcept {
    return state == State::open || state == State::whole || (state == State::none && origin);
  }
  /// Does this storage hold everything of the partition?
  [[nodiscard]] bool complete(bool origin) const noexcept {
    return state == State::whole || (state == State::none && origin);
  }
};

[[nodiscard]] std::string marker_text(Marker::State state, std::int64_t generation);
/// Errors: corrupt.
Result<Marker> read_marker(const std::optional<Record>& record);

/// What each storage remembers of both. `founded` is false in the storage of the smaller name until the other
/// one remembers too: from then on a storage without a memory has lost it.
struct SwitchState {
  std::int64_t generation = 0;
  std::string origin;  ///< the name of the first primary
  bool founded = false;
};

[[nodiscard]] std::string state_text(const SwitchState& state, std::string_view one, std::string_view two,
                                     std::string_view self);
/// Errors: invalid_argument where the text is of other storages.
Result<SwitchState> read_state(std::string_view text, std::string_view one, std::string_view two,
                               std::string_view self);

}  // namespace onceward::storage_detail
