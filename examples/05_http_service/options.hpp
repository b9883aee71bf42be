#pragma once
#include <onceward/core/result.hpp>

#include <chrono>
#include <span>
#include <string>

namespace payments {

/// Where --slow-ms pauses a charge: a test that kills the service chooses what it leaves behind.
enum class SlowAt {
  before,  ///< the key is claimed, nothing is charged
  after,   ///< the charge is written, the key is not completed
};

struct Options {
  std::string host = "127.0.0.1";
  int port = 8080;  ///< 0: one that is free
  std::string storage = "sqlite:payments_guard.db";
  std::string ledger = "payments.db";
  std::chrono::milliseconds lease{30000};
  std::chrono::milliseconds slow{0};
  SlowAt slow_at = SlowAt::before;
  int threads = 16;
  bool help = false;
};

/// Reads the arguments after the program's name. Errors: invalid_argument naming the option.
onceward::Result<Options> parse_options(std::span<const char* const> arguments);
std::string help_text();

}  // namespace payments
