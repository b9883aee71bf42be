#pragma once
#include "remote.hpp"

#include <string>

namespace chaos {

/// What a worker process is told.
struct Job {
  std::string url;     ///< of the storage
  std::string folder;  ///< with the downstream's socket, and how far this worker has come
  int runs = 0;
  int worker = 0;  ///< 0..workers-1
  Broken broken = Broken::nothing;

  [[nodiscard]] std::string socket() const { return folder + "/downstream"; }
  [[nodiscard]] std::string progress() const { return folder + "/progress" + std::to_string(worker); }
};
inline constexpr int workers = 4;
/// Short, so that a killed worker's runs go on soon; every call takes a fraction of it.
inline constexpr auto lease = std::chrono::milliseconds(1500);

/// Starts its share of the runs (every run is started by two workers), signals and cancels them, and works on
/// all that is due, until it is killed.
int work(const Job& job);

}  // namespace chaos
