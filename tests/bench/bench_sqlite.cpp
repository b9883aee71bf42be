// Guarded first calls on SQLite (synchronous=FULL): ours beside raw prepared statements, in one run,
// interleaved.
//   bench_sqlite [FOLDER] [ROUNDS]
#include <onceward/storage/sqlite.hpp>

#include "bench/cycles.hpp"

#include <sqlite3.h>

#include <filesystem>
#include <mutex>

using namespace onceward;
using namespace bench;

namespace {

void run(sqlite3* database, const char* text) {
  if (sqlite3_exec(database, text, nullptr, nullptr, nullptr) != SQLITE_OK) end(sqlite3_errmsg(database));
}

/// What one would write by hand: a table, two prepared statements, one connection.
class Raw {
 public:
  explicit Raw(const std::string& path) {
    if (sqlite3_open(path.c_str(), &database_) != SQLITE_OK) end(path);
    run(database_, "PRAGMA journal_mode=WAL");
    run(database_, "PRAGMA synchronous=FULL");
    run(database_,
        "CREATE TABLE call(key TEXT PRIMARY KEY NOT NULL, state INTEGER NOT NULL, owner INTEGER NOT NULL, "
        "expires INTEGER NOT NULL, value TEXT) WITHOUT ROWID");
    prepare(
        "INSERT INTO call(key, state, owner, expires, value) VALUES (?, 0, ?, ?, ?) ON CONFLICT DO NOTHING",
        insert_);
    prepare("UPDATE call SET state = 1, value = ? WHERE key = ? AND owner = ? AND state = 0", update_);
  }
  ~Raw() {
    sqlite3_finalize(insert_);
    sqlite3_finalize(update_);
    sqlite3_close(database_);
  }
  Raw(const Raw&) = delete;
  Raw& operator=(const Raw&) = delete;

  /// `each` claims and then their completions; each in a transaction of its own, or all of them in one.
  void cycles(std::size_t each) {
    std::vector<std::string> keys;
    if (each > 1) run(database_, "BEGIN IMMEDIATE");
    for (std::size_t i = 0; i < each; ++i) {
      keys.push_back(next_key());
      bind(insert_, 1, keys.back());
      sqlite3_bind_int64(insert_, 2, 7);
      sqlite3_bind_int64(insert_, 3, 1'700'000'000'000'000);
      bind(insert_, 4, claim_);
      step(insert_);
    }
    if (each > 1) run(database_, "COMMIT");
    if (each > 1) run(database_, "BEGIN IMMEDIATE");
    for (const auto& key : keys) {
      bind(update_, 1, result_);
      bind(update_, 2, key);
      sqlite3_bind_int64(update_, 3, 7);
      step(update_);
    }
    if (each > 1) run(database_, "COMMIT");
  }

 private:
  void prepare(const char* text, sqlite3_stmt*& statement) {
    if (sqlite3_prepare_v2(database_, text, -1, &statement, nullptr) != SQLITE_OK)
      end(sqlite3_errmsg(database_));
  }
  static void bind(sqlite3_stmt* statement, int place, const std::string& text) {
    sqlite3_bind_text(statement, place, text.data(), static_cast<int>(text.size()), SQLITE_STATIC);
  }
  void step(sqlite3_stmt* statement) {
    if (sqlite3_step(statement) != SQLITE_DONE || sqlite3_changes(database_) != 1)
      end(sqlite3_errmsg(database_));
    sqlite3_reset(statement);
  }

  sqlite3* database_ = nullptr;
  sqlite3_stmt* insert_ = nullptr;
  sqlite3_stmt* update_ = nullptr;
  std::string claim_ = std::string(claim_value_bytes, 'c');
  std::string result_ = std::string(result_value_bytes, 'r');
};

}  // namespace

int main(int count, char** words) {
  const std::filesystem::path parent = count > 1 ? words[1] : std::filesystem::temp_directory_path();
  const int rounds = count > 2 ? std::atoi(words[2]) : 5;
  auto name = (parent / "onceward-bench-XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr) end("no folder can be made in " + parent.string());
  {
    const auto storage = need(sqlite::open(name + "/ours.db"));
    Raw raw(name + "/raw.db");
    const auto theirs = [&](std::size_t each) -> Worker {
      return [&, each]() -> Work { return [&, each] { raw.cycles(each); }; };
    };
    const auto ours = guarded(*storage);
    print("raw SQLite",
          {{"1 thread", 0.85, 1, 1, ours, 1, 1, theirs(1)},
           {"32 threads", 4, 32, 1, ours, 1, 1, theirs(1)},
           {"64 threads", 5, 64, 1, ours, 1, 1, theirs(1)},
           {"span of 256, 1 thread", 0.8, 1, span, guarded_span(*storage), 1, span, theirs(span)}},
          rounds);
  }
  std::filesystem::remove_all(name);
}
