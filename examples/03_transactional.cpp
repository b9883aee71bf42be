// A handler whose rows and whose key are one transaction of the service's own database: killed at any moment,
// both are there or neither is, and no lease keeps the retry waiting.
#include <onceward/idempotency/transaction.hpp>
#include <onceward/storage/sqlite.hpp>

#include <SQLiteCpp/SQLiteCpp.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <string_view>

using namespace std::chrono_literals;

struct Transfer {
  std::string id;
  std::string user;
  std::int64_t points;
};
struct Receipt {
  std::string id;
  std::int64_t balance;
};

constexpr auto usage = R"(usage: 03_transactional [FILE]

Grants points in a transaction of its own SQLite database, which also holds the key of each grant.
Shows a call, its replay, and a handler that fails halfway. FILE (03_transactional.db) is made where
it is missing; run it again with the same FILE, and every call is a replay.
)";

/// The service's own rows, written in the transaction the guard has opened.
Receipt grant(SQLite::Database& database, const Transfer& transfer, bool fails) {
  SQLite::Statement row(database, "INSERT INTO ledger VALUES (?, ?, ?)");
  row.bind(1, transfer.id);
  row.bind(2, transfer.user);
  row.bind(3, transfer.points);
  row.exec();
  if (fails) throw std::runtime_error("the service fails halfway");
  SQLite::Statement sum(database, "SELECT sum(points) FROM ledger WHERE user = ?");
  sum.bind(1, transfer.user);
  sum.executeStep();
  return {transfer.id, sum.getColumn(0).getInt64()};
}

int run(const std::string& file) {
  auto transactions = onceward::sqlite::transactions(file, {}, [](SQLite::Database& database) {
    database.exec("PRAGMA journal_mode = WAL");
    database.exec("CREATE TABLE IF NOT EXISTS ledger (id TEXT, user TEXT, points INTEGER)");
  });
  if (!transactions) {
    std::fprintf(stderr, "03_transactional: %s\n", describe(transactions.error()).c_str());
    return 2;
  }
  bool fails = false;
  auto guarded = onceward::transactional<Transfer>(
      **transactions, "transfer:#{id}", {.operation = "points.transfer", .retention = 720h},
      [&](SQLite::Database& database, const Transfer& transfer) { return grant(database, transfer, fails); });

  const auto tell = [](const char* what, const onceward::Outcome<Receipt>& outcome) {
    const std::string verdict(to_string(outcome.verdict()));
    std::printf("%-22s %-9s balance %lld\n", what, verdict.c_str(),
                static_cast<long long>(outcome.value().balance));
  };
  tell("a transfer:", guarded({"t-1", "ann", 50}));
  tell("the same again:", guarded({"t-1", "ann", 50}));
  fails = true;
  try {
    tell("one that fails:", guarded({"t-2", "ann", 70}));
  } catch (const std::runtime_error& thrown) {
    std::printf("%-22s %s: rolled back, row and key\n", "one that fails:", thrown.what());
  }
  fails = false;
  tell("its retry:", guarded({"t-2", "ann", 70}));

  SQLite::Database database(file);
  const int points = database.execAndGet("SELECT sum(points) FROM ledger").getInt();
  std::printf("in the ledger: %d points\n", points);
  return points == 120 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char** argv) {
  const std::string_view word = argc > 1 ? argv[1] : "03_transactional.db";
  if (argc > 2 || (word.starts_with("-") && word != "--help")) {
    std::fputs(usage, stderr);
    return 2;
  }
  if (word == "--help") return std::fputs(usage, stdout) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
  try {
    return run(std::string(word));
  } catch (const std::exception& thrown) {
    std::fprintf(stderr, "03_transactional: %s\n", thrown.what());
    return EXIT_FAILURE;
  }
}
