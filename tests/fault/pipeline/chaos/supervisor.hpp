#pragma once
#include "checker.hpp"
#include "downstream.hpp"
#include "worker.hpp"

#include <map>

namespace chaos {

enum class Backend : std::uint8_t { sqlite, redis, mariadb };

struct Options {
  Backend backend = Backend::sqlite;
  int runs = 10'000;
  unsigned seed = 1;
  Broken broken = Broken::nothing;
  std::chrono::seconds limit{1200};  ///< a run that has not ended by then never does
};

struct Report {
  bool missing = false;  ///< there is no such server on this machine
  std::chrono::milliseconds length{};
  int kills = 0;
  int stops = 0;
  std::size_t examinations = 0;  ///< looks at the health of all runs
  std::map<std::string, int> states;
  std::size_t effects = 0, undos = 0, undos_of_nothing = 0, repeated = 0;
  Downstream::Counts downstream;
  std::vector<Violation> violations;
};

[[nodiscard]] Report unleash(const Options& options);

}  // namespace chaos
