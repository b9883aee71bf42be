#include "effects.hpp"

#include <onceward/storage/mariadb.hpp>
#include <onceward/storage/sqlite.hpp>

#include <mysql.h>

#include <stdexcept>

namespace torture {
namespace {

constexpr int busy_ms = 5'000;
constexpr unsigned answer_seconds = 5;

class SqliteRows final : public Rows {
 public:
  explicit SqliteRows(const std::string& file)
      : database_(file, SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE, busy_ms) {
    database_.exec("PRAGMA journal_mode=WAL");
    SQLite::Transaction transaction(database_, SQLite::TransactionBehavior::IMMEDIATE);
    database_.exec("CREATE TABLE IF NOT EXISTS grants (key TEXT, result TEXT)");
    storage_ = onceward::sqlite::enlist(database_).value();
    transaction.commit();
  }

  void begin() override { database_.exec("BEGIN IMMEDIATE"); }
  onceward::Storage& storage() override { return *storage_; }
  void add(const std::string& key, const std::string& result) override {
    SQLite::Statement row(database_, "INSERT INTO grants VALUES (?, ?)");
    row.bind(1, key);
    row.bind(2, result);
    row.exec();
  }
  void commit() override { database_.exec("COMMIT"); }
  void rollback() noexcept override { (void)database_.tryExec("ROLLBACK"); }
  std::vector<Effect> all() override {
    std::vector<Effect> effects;
    SQLite::Statement rows(database_, "SELECT key, result FROM grants");
    while (rows.executeStep()) {
      effects.push_back({rows.getColumn(0).getString(), 0, rows.getColumn(1).getString()});
    }
    return effects;
  }

 private:
  SQLite::Database database_;
  std::unique_ptr<onceward::Storage> storage_;
};

struct CloseMysql {
  void operator()(MYSQL* connection) const noexcept { mysql_close(connection); }
};

class MariadbRows final : public Rows {
 public:
  explicit MariadbRows(int port) : port_(port) {}

  void begin() override {
    if (!connection_) connect();
    run("START TRANSACTION");
  }
  onceward::Storage& storage() override { return *storage_; }
  void add(const std::string& key, const std::string& result) override {
    run("INSERT INTO grants VALUES ('" + key + "', '" + result +
        "')");  // words of this test, no quotes in them
  }
  void commit() override { run("COMMIT"); }
  void rollback() noexcept override {
    // A connection that cannot roll back is given up: the server does it then.
    if (connection_ && mysql_query(connection_.get(), "ROLLBACK") == 0) return;
    storage_.reset();
    connection_.reset();
  }
  std::vector<Effect> all() override {
    if (!connection_) connect();
    run("SELECT `key`, result FROM grants");
    const std::unique_ptr<MYSQL_RES, decltype(&mysql_free_result)> rows(mysql_store_result(connection_.get()),
                                                                        &mysql_free_result);
    if (!rows) throw std::runtime_error(mysql_error(connection_.get()));
    std::vector<Effect> effects;
    while (char** row = mysql_fetch_row(rows.get())) effects.push_back({row[0], 0, row[1]});
    return effects;
  }

  void run(const std::string& text) {
    if (mysql_query(connection_.get(), text.c_str()) != 0) {
      throw std::runtime_error(mysql_error(connection_.get()));
    }
  }
  void connect() {
    storage_.reset();
    connection_.reset(mysql_init(nullptr));
    mysql_options(connection_.get(), MYSQL_OPT_CONNECT_TIMEOUT, &answer_seconds);
    mysql_options(connection_.get(), MYSQL_OPT_READ_TIMEOUT, &answer_seconds);
    mysql_options(connection_.get(), MYSQL_OPT_WRITE_TIMEOUT, &answer_seconds);
    const bool open = mysql_real_connect(connection_.get(), "127.0.0.1", "onceward", "secret", "onceward",
                                         static_cast<unsigned>(port_), nullptr, 0) != nullptr;
    if (!open) {
      const std::string why = mysql_error(connection_.get());
      connection_.reset();
      throw std::runtime_error(why);
    }
    run("SET innodb_lock_wait_timeout = 5");
    run("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED");
    auto storage = onceward::mariadb::enlist(connection_.get());
    if (!storage) {
      connection_.reset();
      throw std::runtime_error(describe(storage.error()));
    }
    storage_ = *std::move(storage);
  }

 private:
  int port_;
  std::unique_ptr<MYSQL, CloseMysql> connection_;
  std::unique_ptr<onceward::Storage> storage_;
};

}  // namespace

std::unique_ptr<Rows> sqlite_rows(const std::string& file) { return std::make_unique<SqliteRows>(file); }
std::unique_ptr<Rows> mariadb_rows(int port) { return std::make_unique<MariadbRows>(port); }
void make_mariadb_rows(int port) {
  MariadbRows rows(port);
  rows.connect();
  rows.run("CREATE TABLE IF NOT EXISTS grants (`key` VARCHAR(64), result VARCHAR(64)) ENGINE=InnoDB");
}

}  // namespace torture
