#pragma once
#include "books.hpp"

#include <atomic>
#include <chrono>
#include <map>
#include <random>
#include <string>
#include <thread>

namespace chaos {

/// How often the downstream goes wrong, of 1,000 requests.
struct Faults {
  unsigned down = 50;      ///< answers "down": nothing happened
  unsigned lost = 20;      ///< never answers: a third of them never happened, a third did, a third do later
  unsigned accepted = 20;  ///< carries it out and says to ask again
};

/// The system behind the steps: answers lines on a unix socket, in a thread of the test's own process, which
/// nobody kills. What a killed client had sent is carried out all the same.
class Downstream {
 public:
  struct Counts {
    std::size_t requests = 0, down = 0, lost = 0, late = 0, accepted = 0;
  };

  Downstream(std::string socket_path, unsigned seed, Faults faults = {});
  ~Downstream();
  Downstream(const Downstream&) = delete;
  Downstream& operator=(const Downstream&) = delete;

  /// Ends it, after everything that was to happen later. The books may be read then.
  void stop();
  [[nodiscard]] const Books& books() const noexcept { return books_; }
  [[nodiscard]] const Counts& counts() const noexcept { return counts_; }

 private:
  using Clock = std::chrono::steady_clock;
  void serve(const std::stop_token& stop);
  void accept_client();
  /// False where the client is gone.
  bool read_client(int client, std::string& text);
  /// Empty: no answer.
  std::string answer(const Request& request);
  void carry_out_late(Clock::time_point until);

  std::string path_;
  Faults faults_;
  std::mt19937 random_;
  Books books_;
  Counts counts_;
  std::multimap<Clock::time_point, Request> later_;
  std::map<int, std::string> clients_;
  int listener_ = -1;
  std::jthread thread_;
};

}  // namespace chaos
