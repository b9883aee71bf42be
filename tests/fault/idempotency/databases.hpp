#pragma once
#include <onceward/storage/sqlite.hpp>
#include <onceward/testing/faulty_transactions.hpp>

#include "processes.hpp"

#include <SQLiteCpp/SQLiteCpp.h>

#ifdef ONCEWARD_TEST_MARIADB
#include "support/mariadb_server.hpp"
#endif

// A database with rows of an application's own beside the guards' records, alike for SQLite and MariaDB.
namespace fault {

class Sqlite {
 public:
  using Connection = SQLite::Database&;
  static bool missing() { return false; }

  /// Sees the same database from the other processes, which make their own.
  [[nodiscard]] std::unique_ptr<onceward::Transactions<Connection>> transactions(
      onceward::Duration patience = std::chrono::seconds(30)) const {
    onceward::sqlite::Options options;
    options.busy_timeout = patience;
    options.synchronous = onceward::sqlite::Synchronous::normal;
    return onceward::sqlite::transactions(
               folder_.file("own.db"), options,
               [](SQLite::Database& database) {
                 database.exec("PRAGMA journal_mode = WAL");
                 database.exec("CREATE TABLE IF NOT EXISTS grants (k VARCHAR(64))");
               })
        .value();
  }
  [[nodiscard]] std::unique_ptr<onceward::Storage> storage() const {
    return onceward::sqlite::open(folder_.file("own.db")).value();
  }
  static void insert(Connection database, const std::string& key) {
    SQLite::Statement row(database, "INSERT INTO grants VALUES (?)");
    row.bind(1, key);
    row.exec();
  }
  static int rows(Connection database, const std::string& key) {
    SQLite::Statement count(database, "SELECT count(*) FROM grants WHERE k = ?");
    count.bind(1, key);
    return count.executeStep() ? count.getColumn(0).getInt() : -1;
  }
  static void execute(Connection database, const std::string& sql) { database.exec(sql); }

 private:
  Folder folder_;
};

#ifdef ONCEWARD_TEST_MARIADB
/// One server for all tests of the program; a database of its own for each.
class Mariadb {
 public:
  using Connection = MYSQL*;
  static MariadbServer& server() {
    static MariadbServer only;
    return only;
  }
  static bool missing() { return server().missing(); }

  Mariadb() {
    static int count = 0;
    name_ = "guard" + std::to_string(++count);
    if (!server().command("CREATE DATABASE " + name_)) throw std::runtime_error("no database for the test");
    const auto connection = server().connect(name_);
    execute(connection.get(), "CREATE TABLE grants (k VARCHAR(64)) ENGINE = InnoDB");
  }
  [[nodiscard]] std::unique_ptr<onceward::Transactions<Connection>> transactions(
      onceward::Duration patience = std::chrono::seconds(30)) const {
    auto options = server().options(name_);
    options.timeout = patience;
    return onceward::mariadb::transactions(options).value();
  }
  [[nodiscard]] std::unique_ptr<onceward::Storage> storage() const {
    return onceward::mariadb::open(server().options(name_)).value();
  }
  static void insert(Connection connection, const std::string& key) {
    execute(connection, "INSERT INTO grants VALUES ('" + key + "')");
  }
  static int rows(Connection connection, const std::string& key) {
    execute(connection, "SELECT count(*) FROM grants WHERE k = '" + key + "'");
    const std::unique_ptr<MYSQL_RES, void (*)(MYSQL_RES*)> rows(mysql_store_result(connection),
                                                                &mysql_free_result);
    return rows ? std::stoi(mysql_fetch_row(rows.get())[0]) : -1;
  }
  static void execute(Connection connection, const std::string& sql) {
    if (mysql_query(connection, sql.c_str()) != 0) throw std::runtime_error(mysql_error(connection));
  }

 private:
  std::string name_;
};
#define ONCEWARD_TEST_DATABASES fault::Sqlite, fault::Mariadb
#else
#define ONCEWARD_TEST_DATABASES fault::Sqlite
#endif

}  // namespace fault
