#include "storage/sqlite/checkpointer.hpp"

#include <SQLiteCpp/Database.h>
#include <SQLiteCpp/Exception.h>
#include <sqlite3.h>

#include <chrono>
#include <utility>

namespace onceward::sqlite::detail {
namespace {

constexpr int enough_pages = 4000;     ///< of the log: worth a copy
constexpr int too_many_pages = 16000;  ///< the thread does not keep up: the writer waits, then copies itself
constexpr int patience_pages = 1000;   ///< more, before what could not be copied is tried again
constexpr int long_pages = 8000;       ///< the writers are faster than the disk: they wait for the copy
constexpr int few_pages = 500;         ///< copied while writers wait, so that the log begins anew
constexpr int most_rounds = 8;
constexpr int busy_ms = 100;
constexpr auto longest_round = std::chrono::seconds(10);

}  // namespace

Checkpointer::Checkpointer(std::string path, sqlite3* writer, std::mutex& writing)
    : path_(std::move(path)), writer_(writer), writing_(writing), not_before_(enough_pages) {
  sqlite3_wal_hook(writer_, &Checkpointer::committed, this);
  thread_ = std::jthread([this](const std::stop_token& stop) { work(stop); });
}

Checkpointer::~Checkpointer() {
  thread_.request_stop();
  thread_.join();
  sqlite3_wal_hook(writer_, nullptr, nullptr);
}

int Checkpointer::committed(void* self, sqlite3* writer, const char* name, int pages) {
  auto& own = *static_cast<Checkpointer*>(self);
  {
    const std::lock_guard lock(own.mutex_);
    if (pages < own.pages_) own.not_before_ = enough_pages;  // the log has begun anew
    own.pages_ = pages;
    if (pages < own.not_before_) return SQLITE_OK;
    if (pages < too_many_pages) own.wanted_ = true;
  }
  if (pages < too_many_pages) {
    own.wake_.notify_one();
    return SQLITE_OK;
  }
  // Its failure is no failure of the commit, which is durable in the log.
  {
    // Only one copies at a time.
    std::unique_lock lock(own.mutex_);
    (void)own.round_ended_.wait_for(lock, longest_round, [&own] { return !own.copying_; });
  }
  int copied = 0;
  const int code = sqlite3_wal_checkpoint_v2(writer, name, SQLITE_CHECKPOINT_PASSIVE, &pages, &copied);
  own.settle(code == SQLITE_OK && copied == pages);
  return SQLITE_OK;
}

void Checkpointer::mark(bool copying) {
  const std::lock_guard lock(mutex_);
  copying_ = copying;
  if (!copying) round_ended_.notify_all();
}

void Checkpointer::settle(bool whole) {
  const std::lock_guard lock(mutex_);
  // Nobody asks for a copy that was just made: a second one while a commit begins the log anew is what SQLite
  // before 3.51.3 must not do.
  if (whole) wanted_ = false;
  // A reader that stays in the past, or a full disk, is not asked again at every commit: each try costs time.
  not_before_ = pages_ + patience_pages;
}

void Checkpointer::work(const std::stop_token& stop) {
  std::unique_ptr<SQLite::Database> database;
  std::unique_lock lock(mutex_);
  while (wake_.wait(lock, stop, [this] { return wanted_; })) {
    wanted_ = false;
    lock.unlock();
    try {
      if (database == nullptr) {
        database =
            std::make_unique<SQLite::Database>(path_, SQLite::OPEN_READWRITE | SQLite::OPEN_NOMUTEX, busy_ms);
        database->exec("PRAGMA synchronous = FULL");
      }
      copy(stop, database->getHandle());
    } catch (const SQLite::Exception&) {
      database.reset();  // a file that cannot be opened now is tried again at the next commit
    }
    lock.lock();
  }
}

void Checkpointer::copy(const std::stop_token& stop, sqlite3* connection) {
  // Every round copies what was written during the one before. A reader that stays in the past keeps the log
  // from being copied further.
  int before = -1;
  for (int round = 0; round < most_rounds && !stop.stop_requested(); ++round) {
    int pages = 0;
    int copied = 0;
    mark(true);
    int code = sqlite3_wal_checkpoint_v2(connection, nullptr, SQLITE_CHECKPOINT_PASSIVE, &pages, &copied);
    mark(false);
    if (code == SQLITE_BUSY) return;  // another copies
    if (code != SQLITE_OK) break;
    if (pages - copied > few_pages && copied == before) break;
    before = copied;
    if (pages - copied > few_pages && pages < long_pages && round + 1 < most_rounds) continue;
    // The rest is copied while nobody writes: only a log that is copied whole begins anew and stays small.
    const std::lock_guard lock(writing_);
    code = sqlite3_wal_checkpoint_v2(connection, nullptr, SQLITE_CHECKPOINT_FULL, &pages, &copied);
    return settle(code == SQLITE_OK && copied == pages);
  }
  settle(false);
}

}  // namespace onceward::sqlite::detail
