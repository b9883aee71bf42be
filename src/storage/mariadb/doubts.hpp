#pragma once
#include "storage/mariadb/connection.hpp"

#include <atomic>
#include <mutex>

namespace onceward::mariadb::detail {

/// The connections that were lost while a write was on its way. What was sent may lie in a buffer of the
/// network, and would be done after its caller has read back that it was not; and a transaction that is open
/// on such a connection keeps its locks. So the server ends them before anything else is read or written.
class Doubts {
 public:
  /// `session`: the name the lost connection has at its server.
  void add(std::string session);
  /// Returns when no doubt is left: what was sent is done by now, or never. Throws Failure.
  void settle(Connection& connection, Duration limit);

 private:
  std::mutex mutex_;
  std::vector<std::string> sessions_;
  std::atomic<bool> any_ = false;
};

}  // namespace onceward::mariadb::detail
