#pragma once
#include "task/records.hpp"

#include <memory_resource>
#include <span>
#include <vector>

namespace onceward::task_detail {

/// "board": the plain instances of a user in one record, so that an event writes few records however many of
/// his tasks it counts for. One that gets more than a progress, or that makes room for others, moves to
/// a record of its own and stays there.
///
/// It is written whenever an instance of the user begins or moves: of two callers that begin the same one at
/// once, one is refused. Who reads it together with an instance's own record finds it in one of the two.
inline constexpr std::string_view board_key = "board";
/// More make those leave that were written longest ago, until so many are left.
inline constexpr std::size_t most_on_board = 64;
inline constexpr std::size_t left_on_board = 48;

/// One instance, as views into the board's record.
struct BoardEntry {
  std::string_view name;  ///< "<task>/<cycle>"
  std::string_view version;
  std::int64_t progress = 0;
  std::int64_t reached = 0;
  Status status = Status::in_progress;
  std::string_view text{};  ///< the whole of it
  bool moved = false;       ///< written anew, or gone to a record of its own

  void read_into(Instance& fresh) const;
  [[nodiscard]] Instance instance() const {
    Instance fresh;
    read_into(fresh);
    return fresh;
  }
};

/// Reads the entries, the ones written last at the end, into what is empty. The views live as long as the
/// record. Errors: corrupt.
Result<void> decode_board(const Record& record, std::pmr::vector<BoardEntry>& board);
/// Null where it is not there.
[[nodiscard]] const BoardEntry* find_on(std::span<const BoardEntry> board, std::string_view name) noexcept;
[[nodiscard]] inline std::string_view name_on_board(std::string_view instance_key) noexcept {
  return instance_key.substr(instance_prefix.size());
}

/// Makes a board's text, entry by entry.
class BoardWriter {
 public:
  explicit BoardWriter(std::size_t entries);
  void keep(const BoardEntry& entry);
  void add(std::string_view name, const Instance& instance);
  [[nodiscard]] std::string finish();

 private:
  std::string text_{};
};

}  // namespace onceward::task_detail
