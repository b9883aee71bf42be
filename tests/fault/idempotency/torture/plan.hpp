#pragma once
#include <chrono>
#include <cstdint>
#include <vector>

namespace torture {

enum class FaultKind : std::uint8_t {
  kill,     ///< kill -9 of a worker, which is started again
  stop,     ///< SIGSTOP of a worker for longer than any lease, then SIGCONT
  restart,  ///< kill -9 of the storage's server, which is started again
  cut,      ///< a connection to the server is cut in the middle of what it says
};

struct Fault {
  std::chrono::milliseconds at{0};  ///< after the start
  FaultKind kind = FaultKind::kill;
  int worker = 0;                      ///< of kill and stop
  std::chrono::milliseconds lasts{0};  ///< of stop
  std::int64_t bytes_to_server = 0;    ///< of cut: so many bytes more pass, in one direction or the other
  std::int64_t bytes_to_client = 0;

  friend bool operator==(const Fault&, const Fault&) = default;
};

inline constexpr int workers = 8;

/// The faults of a run, in the order of their time: the same for the same arguments. `restart_every` zero:
/// the storage has no server, so there are neither restarts nor cuts.
[[nodiscard]] std::vector<Fault> plan(unsigned seed, std::chrono::seconds length,
                                      std::chrono::milliseconds restart_every);

}  // namespace torture
