#pragma once
#include <onceward/core/clock.hpp>

#include "pipeline/run_state.hpp"

#include <string>
#include <string_view>
#include <vector>

// How runs are shown to people: bounded, without a byte that a terminal would act on.
namespace onceward::pipeline_detail {

[[nodiscard]] std::string_view to_string(Status status) noexcept;
/// One line of at most `most` bytes: control characters as "\x1B", bytes that are no UTF-8 as '?'.
[[nodiscard]] std::string one_line(std::string_view text, std::size_t most = 120);
/// "250us", "12ms", "12.500s", "3m05s", "2h03m", "5d04h".
[[nodiscard]] std::string duration_shown(Duration duration);
/// "2011-01-01T00:00:00.000Z".
[[nodiscard]] std::string time_shown(Timestamp time);
/// What a construct has come to, in a word or a sentence: "done", "failed: closed: no account".
[[nodiscard]] std::string place_shown(const Place& place);

/// Columns of text, each as wide as its widest cell.
class TextTable {
 public:
  explicit TextTable(std::vector<std::string> head);
  /// As many cells as the head has.
  void add(std::vector<std::string> cells);
  [[nodiscard]] std::string text() const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace onceward::pipeline_detail
