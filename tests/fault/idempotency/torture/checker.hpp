#pragma once
#include "history.hpp"

#include <map>
#include <set>
#include <string>
#include <vector>

/// Whether a recorded history of guarded calls keeps what guards promise. Pure functions.
namespace torture {

/// An effect in a table of the application's.
struct Effect {
  std::string key;
  std::int64_t fence = 0;  ///< 0: not guarded by one
  std::string result;
};

/// From when to when a process was stopped (CLOCK_MONOTONIC in nanoseconds).
struct Stop {
  std::int64_t from = 0;
  std::int64_t to = 0;
};

/// All that was seen of one run of the test.
struct Observed {
  std::vector<Line> lines;                         ///< of all processes, in any order
  std::set<std::string> killed;                    ///< processes that the test killed
  std::map<std::string, std::vector<Stop>> stops;  ///< by process
  std::vector<Effect> accepted;                    ///< writes of the fenced table, in their order
  std::map<std::string, Effect> standing;          ///< rows of the fenced table, by key
  std::vector<Effect> rows;                        ///< rows of the enlisted transactions
  std::int64_t realtime_offset_ns = 0;             ///< CLOCK_REALTIME minus CLOCK_MONOTONIC
};

/// The process that drives every key to its end once the faults are over; what is replayed to it is the
/// final state of the storage.
inline constexpr const char* quiet_process = "quiet";

/// Two clocks of one machine, read at two moments, differ by less than this.
inline constexpr std::int64_t slack_ns = 50'000'000;

struct Violation {
  std::string rule;  ///< one of the names below
  std::string key;
  std::string what;
};

/// The rules, by name:
///   history    there are calls; every line belongs to one that began once and ended at most once
///   hang       a call of a process that was not killed ends within its limit; time stopped does not count
///   verdict    the handler ran once where the verdict says that it ran, else never
///   payload    nobody is told the result of another payload; key_reused only where there was another one
///   result     one fence has one result, which a run made; two results of a key are a retention apart
///   run_again  nobody acquires a key between the moment it is done and the end of its retention
///   owners     nobody acquires a key while the lease of another claim runs, by the storage's own time
///   fence      of two claims of a key, one after the other in real time, the later has the larger fence
///   attempt    attempts of a key grow with the fences, unless a retention passed
///   effect     fenced effects happen exactly once: accepted fences of a key grow; the effect of a stored
///              outcome was accepted; the effect that stands at the end is that of the stored outcome
///   rows       transactional effects happen exactly once: a key has one row, of the outcome that was told
///   end        the quiet process was replayed a stored outcome of every key that a call named
[[nodiscard]] std::vector<Violation> check(const Observed& observed);

/// The longest time a call took that ended, time stopped not counted, in nanoseconds.
[[nodiscard]] std::int64_t longest_call_ns(const Observed& observed);

}  // namespace torture
