#pragma once
#include <cstddef>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

namespace onceward::testing {

/// Named places of a program at which a test ends its process, as kill -9 does: no destructor runs, nothing
/// is flushed. The program under test calls reach(); where no point is armed it only counts. FaultyStorage's
/// and FaultyTransactions' hooks pass their names on:
///   storage.on_call([&](std::string_view point) { points.reach(point); });
/// Safe from any thread.
class CrashPoints {
 public:
  /// Ends the process when `name` is reached for the nth time from now on, nth >= 1.
  void arm(std::string name, std::size_t nth = 1);
  /// The same for the nth point that is reached, whatever its name.
  void arm_any(std::size_t nth);
  void reach(std::string_view name);
  /// How often this point was reached; without a name: all of them.
  [[nodiscard]] std::size_t reached(std::string_view name) const;
  [[nodiscard]] std::size_t reached() const;

 private:
  mutable std::mutex mutex_;
  std::map<std::string, std::size_t, std::less<>> reached_;
  std::map<std::string, std::size_t, std::less<>> armed_;  ///< the count that ends the process
  std::optional<std::size_t> armed_any_;
  std::size_t all_ = 0;
};

/// How a child process ended.
struct ChildEnd {
  bool crashed = false;  ///< by kill -9
  int exit_code = 0;     ///< of one that ended by itself; 125 where its work threw
};

/// Runs `work` in a copy of this process and waits for its end; its answer is the exit code. No destructor of
/// this process runs there. Call it before this process has threads, and open storages within `work`: a
/// connection does not survive the copy. Throws std::runtime_error where no process can be made, or where
/// another signal than kill -9 ended it.
ChildEnd run_in_child(const std::function<int()>& work);

/// Runs `work` in children, one after another: the first dies at the first point it reaches, the second at
/// the second, ... until one ends by itself. After each death calls `after` in this process with how many
/// points were reached: look there at what is left, and let it be finished. Gives the number of deaths.
/// Throws std::runtime_error where the last one's exit code is not 0.
std::size_t crash_everywhere(const std::function<int(CrashPoints&)>& work,
                             const std::function<void(std::size_t reached)>& after);

}  // namespace onceward::testing
