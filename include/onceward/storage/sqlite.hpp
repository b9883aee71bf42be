#pragma once
#include <onceward/storage/transactions.hpp>

#include <functional>
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
  bool check_integrity = false;                     ///< as check_integrity() when it is opened
  const Clock* clock = nullptr;                     ///< must outlive the storage; null: a SystemClock
};

/// Opens or creates a database file in WAL mode: the embedded default. One connection writes, the commits of
/// concurrent callers share one transaction; reads have a connection of their own and see every answered
/// commit. Several processes may use one file. Errors: unavailable (cannot be opened, read-only, no such
/// folder), exhausted (no space to create it), timeout (another process held it for busy_timeout), corrupt
/// (no database, damaged), invalid_argument (the file has a newer format or another shard count); the message
/// names the file.
/// Errors of its calls beside those of Storage: a commit answers exhausted on a full disk, a used up quota or
/// a limit of file sizes, and unavailable on a disk that does not answer and on a file that was moved,
/// deleted or replaced meanwhile; nothing of it happened. in_doubt: the disk failed so late that the commit
/// may be found when the file is next recovered. Reads go on, and commits too once the cause is gone; except
/// of a moved file, which must be put back or opened again; and after a failed sync reads are unavailable
/// until the disk takes one again, so that what is read back stays true.
Result<std::unique_ptr<Storage>> open(const std::string& path, Options options = {});

/// Reads the whole file and tells whether it is sound: every page, every index and what our tables promise
/// each other. It changes nothing and stops nobody from writing, but the log grows meanwhile. A gigabyte that
/// lies in memory takes some 16 seconds, one on a disk as long as reading it takes besides. Errors: corrupt
/// (the first findings; or no tables of ours), unavailable (no such file, cannot be read), invalid_argument
/// (a newer format).
Result<void> check_integrity(const std::string& path);

/// A Storage that writes inside the caller's own open transaction of `database`: what it commits is there
/// when the caller's COMMIT is, and gone with the caller's ROLLBACK. The transactional mode of every feature.
/// Its tables are created in that database where they are missing. A commit without an open transaction is
/// refused with wrong_state. Where one fails after it has written, the caller's transaction is rolled back,
/// as SQLite itself does on a full disk: a COMMIT after that fails. Use it from the thread that owns the
/// connection; it must not outlive `database`. Errors: as open.
Result<std::unique_ptr<Storage>> enlist(SQLite::Database& database, Options options = {});

/// Transactions on a database file of the application's own, for transactional guards: over one connection,
/// which its callers get in turn, as a file has one writer at a time. Each begins with BEGIN IMMEDIATE.
/// `prepare` is called once for a new connection (PRAGMA foreign_keys = ON); the file's journal mode stays as
/// it is. Who waits longer than busy_timeout gets timeout; a thread that begins another one while it has one
/// open gets wrong_state at once, as it would wait for itself. Opens the file at once. Errors: as open and
/// enlist.
Result<std::unique_ptr<Transactions<SQLite::Database&>>> transactions(
    const std::string& path, Options options = {}, std::function<void(SQLite::Database&)> prepare = {});

}  // namespace onceward::sqlite
