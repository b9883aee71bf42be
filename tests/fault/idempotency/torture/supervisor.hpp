#pragma once
#include "checker.hpp"
#include "plan.hpp"
#include "worker.hpp"

#include <string>
#include <vector>

namespace torture {

enum class Backend : std::uint8_t { sqlite, redis, mariadb };

struct Options {
  Backend backend = Backend::sqlite;
  std::chrono::seconds length{60};
  unsigned seed = 1;
  Broken broken = Broken::nothing;
  std::string keep{};  ///< a folder for histories and tables, which stays; empty: a temporary one
};

struct Counts {
  int kills = 0;
  int stops = 0;
  int restarts = 0;
  int cuts = 0;
};

/// All that a run gave.
struct Run {
  bool missing = false;  ///< there is no server on this machine: nothing was run
  Counts counts;
  Observed observed;
  std::vector<std::string> deaths;  ///< workers that ended without having been told or killed
  std::chrono::milliseconds length{0};
  std::chrono::milliseconds quiet{0};
};

/// Starts the storage and the workers, causes the faults, then drives every key to its end and reads the
/// tables. Throws where the test itself cannot go on.
Run torment(const Options& options);

}  // namespace torture
