#pragma once
#include <onceward/task/event.hpp>

#include <cstddef>
#include <map>
#include <mutex>
#include <string>
#include <vector>

namespace loyalty {

/// Rewards that did not come to a good end, and events whose rewards were still on their way when they were
/// reported. Keeps the first `most` of each and counts the rest. Safe from any thread.
class Attention {
 public:
  static constexpr std::size_t most = 10'000;

  /// A run that failed or that an operator must look at. A later note without a reason does not hide an
  /// earlier one.
  void note(const std::string& run_key, std::string_view state, const std::string& reason);
  /// Looks at a receipt's rewards; remembers the event where one of them is not settled yet.
  void look_at(const onceward::Event& event, const onceward::Receipt& receipt);

  [[nodiscard]] std::vector<onceward::Event> take_unsettled();
  [[nodiscard]] std::size_t count() const;
  /// A line for each: "gifts-uk/12346/spend/M:2011-01/1/1: failed: ...".
  [[nodiscard]] std::vector<std::string> lines() const;

 private:
  mutable std::mutex mutex_;
  std::map<std::string, std::string> notes_;
  std::size_t more_ = 0;
  std::vector<onceward::Event> unsettled_;
};

}  // namespace loyalty
