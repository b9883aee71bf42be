#include "effects.hpp"

namespace torture {
namespace {

constexpr int busy_ms = 10'000;

}  // namespace

FencedTable::FencedTable(const std::string& file)
    : database_(file, SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE, busy_ms) {
  database_.exec("PRAGMA journal_mode=WAL");
  database_.exec("PRAGMA synchronous=NORMAL");  // processes die here, the machine does not
  SQLite::Transaction transaction(database_, SQLite::TransactionBehavior::IMMEDIATE);
  database_.exec("CREATE TABLE IF NOT EXISTS standing (key TEXT PRIMARY KEY, fence INTEGER, result TEXT)");
  database_.exec(
      "CREATE TABLE IF NOT EXISTS accepted "
      "(number INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT, fence INTEGER, result TEXT)");
  transaction.commit();
}

bool FencedTable::write(const std::string& key, std::int64_t fence, const std::string& result) {
  const auto run = [&](const char* text) {
    SQLite::Statement statement(database_, text);
    statement.bind(1, key);
    statement.bind(2, fence);
    statement.bind(3, result);
    return statement.exec();
  };
  SQLite::Transaction transaction(database_, SQLite::TransactionBehavior::IMMEDIATE);
  const int written =
      run("INSERT INTO standing VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE SET fence = excluded.fence, "
          "result = excluded.result WHERE excluded.fence > standing.fence");
  if (written == 0) return false;
  run("INSERT INTO accepted (key, fence, result) VALUES (?, ?, ?)");
  transaction.commit();
  return true;
}

std::vector<Effect> FencedTable::accepted() {
  std::vector<Effect> effects;
  SQLite::Statement rows(database_, "SELECT key, fence, result FROM accepted ORDER BY number");
  while (rows.executeStep()) {
    effects.push_back(
        {rows.getColumn(0).getString(), rows.getColumn(1).getInt64(), rows.getColumn(2).getString()});
  }
  return effects;
}

std::map<std::string, Effect> FencedTable::standing() {
  std::map<std::string, Effect> effects;
  SQLite::Statement rows(database_, "SELECT key, fence, result FROM standing");
  while (rows.executeStep()) {
    const auto key = rows.getColumn(0).getString();
    effects[key] = {key, rows.getColumn(1).getInt64(), rows.getColumn(2).getString()};
  }
  return effects;
}

}  // namespace torture
