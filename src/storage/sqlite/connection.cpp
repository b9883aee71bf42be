#include "storage/sqlite/connection.hpp"

#include <sqlite3.h>

#include <thread>

namespace onceward::sqlite::detail {

Connection::Connection(const std::string& path, Duration busy_timeout)
    : SQLite::Database(path, SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE | SQLite::OPEN_NOMUTEX),
      busy_timeout_(busy_timeout) {
  sqlite3_busy_handler(getHandle(), &Connection::busy, this);
}

Connection::~Connection() { sqlite3_busy_handler(getHandle(), nullptr, nullptr); }

int Connection::busy(void* self, int round) {
  constexpr int shortest_us = 100;
  constexpr int spread_us = 800;
  constexpr int stride = 379;  // steps of different length meet the moments of a steady writer
  auto& own = *static_cast<Connection*>(self);
  const auto now = std::chrono::steady_clock::now();
  if (round == 0) own.until_ = now + own.busy_timeout_;
  if (now >= own.until_ || (own.stop_ != nullptr && own.stop_->stop_requested())) return 0;
  std::this_thread::sleep_for(
      std::chrono::microseconds(shortest_us + round % spread_us * stride % spread_us));
  return 1;
}

}  // namespace onceward::sqlite::detail
