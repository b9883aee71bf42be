#pragma once
#include <onceward/storage/storage.hpp>

#include <string>

namespace SQLite {
class Database;
}

namespace onceward::sqlite {

/// When a commit has reached the disk. `full`: when it is answered (survives power loss). `normal`: survives
/// the death of the process, a power loss may take the last commits.
enum class Synchronous { normal, full };

struct Options {
  /// Unset: 64 for a new file, the file's own count for an existing one. Set: another count is refused.
  std::optional<Shard> shards{};
  Synchronous synchronous = Synchronous::full;
  Duration busy_timeout = std::chrono::seconds(5);  ///< wait for another process's transaction
  std::int64_t cache_kib = 16384;                   ///< page cache of the writing connection
  const Clock* clock = nullptr;                     ///< must outlive the storage; null: a SystemClock
};

/// Opens or creates a database file in WAL mode: the embedded default. One connection writes, the commits of
/// concurrent callers share one transaction; reads have a connection of their own and see every answered
/// commit. Several processes may use one file. Errors: unavailable (cannot be opened, read-only, no such
/// folder), corrupt (no database, damaged), invalid_argument (the file has a newer format or another shard
/// count); the message names the file.
Result<std::unique_ptr<Storage>> open(const std::string& path, Options options = {});

/// A Storage that writes inside the caller's own open transaction of `database`: what it commits is there
/// when the caller's COMMIT is, and gone with the caller's ROLLBACK. The transactional mode of every feature.
/// Its tables are created in that database where they are missing. A commit without an open transaction is
/// refused with wrong_state. Use it from the thread that owns the connection; it must not outlive `database`.
/// Errors: as open.
Result<std::unique_ptr<Storage>> enlist(SQLite::Database& database, Options options = {});

}  // namespace onceward::sqlite
