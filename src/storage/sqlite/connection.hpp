#pragma once
#include <onceward/storage/record.hpp>

#include <SQLiteCpp/Database.h>

#include <chrono>
#include <stop_token>
#include <string>

namespace onceward::sqlite::detail {

/// The connection that writes. It waits for another process's transaction in steps of less than a
/// millisecond: SQLite's own waits grow to a tenth of a second, and two busy processes starve a third for
/// seconds that way, since the file is free only for moments.
class Connection : public SQLite::Database {
 public:
  /// Opens or creates the file. Throws SQLite::Exception.
  Connection(const std::string& path, Duration busy_timeout);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  /// While what it gives lives, a wait for another transaction ends when `stop` is requested.
  [[nodiscard]] auto stop_waiting_on(const std::stop_token& stop) noexcept {
    class Stopped {
     public:
      Stopped(const std::stop_token*& place, const std::stop_token& stop) noexcept : place_(place) {
        place_ = &stop;
      }
      ~Stopped() { place_ = nullptr; }
      Stopped(const Stopped&) = delete;
      Stopped& operator=(const Stopped&) = delete;

     private:
      const std::stop_token*& place_;
    };
    return Stopped(stop_, stop);
  }

 private:
  static int busy(void* self, int round);

  Duration busy_timeout_;
  std::chrono::steady_clock::time_point until_{};
  const std::stop_token* stop_ = nullptr;
};

}  // namespace onceward::sqlite::detail
