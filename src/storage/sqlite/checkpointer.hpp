#pragma once
#include <condition_variable>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <thread>

struct sqlite3;

namespace onceward::sqlite::detail {

/// Copies the write-ahead log back into the file on a thread of its own: the pages of a large file lie far
/// apart, and a caller whose commit happened to fill the log would wait for all of them.
/// After a failure nothing is lost: the log keeps what was not copied and the next attempt copies it.
class Checkpointer {
 public:
  /// Watches the commits of `writer`, which must outlive it; `writing` is held by whoever uses that
  /// connection.
  Checkpointer(std::string path, sqlite3* writer, std::mutex& writing);
  /// Lets the copy in progress finish.
  ~Checkpointer();
  Checkpointer(const Checkpointer&) = delete;
  Checkpointer& operator=(const Checkpointer&) = delete;

 private:
  static int committed(void* self, sqlite3* writer, const char* name, int pages);
  void work(const std::stop_token& stop);
  void copy(const std::stop_token& stop, sqlite3* connection);
  void mark(bool copying);
  void settle(bool whole);

  std::string path_;
  sqlite3* writer_;
  std::mutex& writing_;
  std::mutex mutex_;
  std::condition_variable_any wake_;
  std::condition_variable round_ended_;
  bool wanted_ = false;
  bool copying_ = false;  ///< the thread, in a round that needs no other lock
  int pages_ = 0;         ///< of the log at the last commit
  int not_before_;        ///< pages of the log at which the next copy is worth a try
  std::jthread thread_;
};

}  // namespace onceward::sqlite::detail
