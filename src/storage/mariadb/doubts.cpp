#include "storage/mariadb/doubts.hpp"

#include <fmt/format.h>
#include <mysqld_error.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <thread>

namespace onceward::mariadb::detail {
namespace {

constexpr std::chrono::milliseconds pause{2};

/// The number under which the server knows it; nothing where it has ended.
std::optional<std::int64_t> holder_of(Connection& connection, std::string_view session) {
  auto& row = connection.prepare("SELECT IS_USED_LOCK(?)");
  row.run({session});
  std::optional<std::int64_t> holder;
  while (row.next()) {
    if (!row.null(0)) holder = row.number(0);
  }
  return holder;
}

void end(Connection& connection, std::int64_t number) {
  try {
    connection.command(fmt::format("KILL {}", number).c_str());
  } catch (const Failure& failure) {
    if (failure.error().native_code != ER_NO_SUCH_THREAD) throw;  // it has ended by itself
  }
}

}  // namespace

void Doubts::add(std::string session) {
  const std::lock_guard lock(mutex_);
  sessions_.push_back(std::move(session));
  any_ = true;
}

void Doubts::settle(Connection& connection, Duration limit) {
  if (!any_) return;
  std::vector<std::string> sessions;
  {
    const std::lock_guard lock(mutex_);
    sessions = sessions_;
  }
  const auto until = std::chrono::steady_clock::now() + limit;
  for (const auto& session : sessions) {
    while (const auto number = holder_of(connection, session)) {
      end(connection, *number);
      if (std::chrono::steady_clock::now() > until) {
        throw Failure({ErrorCode::timeout,
                       "MariaDB: a connection that was lost has not ended at the server yet, and what was "
                       "sent on it may still be done; try again"});
      }
      std::this_thread::sleep_for(pause);
    }
  }
  const std::lock_guard lock(mutex_);
  std::erase_if(sessions_, [&](const std::string& session) {
    return std::find(sessions.begin(), sessions.end(), session) != sessions.end();
  });
  any_ = !sessions_.empty();
}

}  // namespace onceward::mariadb::detail
