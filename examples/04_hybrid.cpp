// A fast storage (Redis) before the service's own database: replays never touch the database, and losing the
// fast storage costs speed only, since the row in the database decides.
#include <onceward/idempotency/transaction.hpp>
#include <onceward/storage/memory.hpp>
#include <onceward/storage/open.hpp>
#include <onceward/storage/sqlite.hpp>

#include <SQLiteCpp/SQLiteCpp.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

using namespace std::chrono_literals;

struct Grant {
  std::string user;
  std::int64_t points;
};

constexpr auto usage = R"(usage: 04_hybrid [--redis URL] [--database FILE]

Grants points in a transaction of an SQLite database, and asks a fast storage first.
  --redis URL      the fast storage, such as "redis://127.0.0.1:6379?timeout_ms=50";
                   without it, or where it does not answer, memory of this process stands in
  --database FILE  made where it is missing (04_hybrid.db)
Stop or flush Redis while it runs, and run it again: the outcome stays the same.
)";

struct Options {
  std::string redis{};
  std::string database = "04_hybrid.db";
};

/// False for a command line that is none.
bool read(int argc, char** argv, Options& options) {
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view name = argv[i];
    if (name == "--redis") {
      options.redis = argv[i + 1];
    } else if (name == "--database") {
      options.database = argv[i + 1];
    } else {
      return false;
    }
  }
  return argc % 2 == 1;
}

/// What a FastPath opens its storage with: again where its data have vanished.
std::function<onceward::Result<std::unique_ptr<onceward::Storage>>()> opener(const std::string& url) {
  if (!url.empty()) {
    auto redis = onceward::open_storage(url);
    if (redis) return [url] { return onceward::open_storage(url); };
    std::printf("no Redis (%s)\n", describe(redis.error()).c_str());
  }
  std::printf("the fast storage is memory of this process; --redis URL names a real one\n");
  return [] { return onceward::open_memory(); };
}

int run(const Options& options) {
  auto transactions = onceward::sqlite::transactions(options.database, {}, [](SQLite::Database& database) {
    database.exec("PRAGMA journal_mode = WAL");
    database.exec("CREATE TABLE IF NOT EXISTS grants (user TEXT, points INTEGER)");
  });
  if (!transactions) {
    std::fprintf(stderr, "04_hybrid: %s\n", describe(transactions.error()).c_str());
    return 2;
  }
  onceward::FastPath fast(opener(options.redis), {.lease = 1s, .retention = 24h});
  auto grant =
      onceward::hybrid<Grant>(fast, **transactions, "welcome:#{user}", {.operation = "points.welcome"},
                              [](SQLite::Database& database, const Grant& request) {
                                SQLite::Statement row(database, "INSERT INTO grants VALUES (?, ?)");
                                row.bind(1, request.user);
                                row.bind(2, request.points);
                                row.exec();
                                return request.points;
                              });

  for (int call = 1; call <= 3; ++call) {
    const auto began = std::chrono::steady_clock::now();
    const auto outcome = grant({"ann", 50});
    const auto took = std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - began);
    const std::string verdict(to_string(outcome.verdict()));
    std::printf("call %d: %-9s %lld points, %.0f us\n", call, verdict.c_str(),
                static_cast<long long>(outcome.value()), took.count());
  }
  SQLite::Database database(options.database);
  const int rows = database.execAndGet("SELECT count(*) FROM grants").getInt();
  std::printf("rows in the database: %d\n", rows);
  return rows == 1 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char** argv) {
  if (argc == 2 && std::string_view(argv[1]) == "--help")
    return std::fputs(usage, stdout) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
  Options options;
  if (!read(argc, argv, options)) {
    std::fputs(usage, stderr);
    return 2;
  }
  try {
    return run(options);
  } catch (const std::exception& thrown) {
    std::fprintf(stderr, "04_hybrid: %s\n", thrown.what());
    return EXIT_FAILURE;
  }
}
