#pragma once
#include "checker.hpp"

#include <onceward/storage/storage.hpp>

#include <SQLiteCpp/SQLiteCpp.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

struct st_mysql;

namespace torture {

/// The table of an application that lets a fence guard it: one row for a key, written over by a larger fence
/// only. A second table keeps every write that was accepted, in its order. One thread each.
class FencedTable {
 public:
  explicit FencedTable(const std::string& file);

  /// False where a row of this or a larger fence stands: nothing was written.
  bool write(const std::string& key, std::int64_t fence, const std::string& result);

  [[nodiscard]] std::vector<Effect> accepted();
  [[nodiscard]] std::map<std::string, Effect> standing();

 private:
  SQLite::Database database_;
};

/// Rows that an application adds in its own transactions, with a storage enlisted in them. Nothing in the
/// table keeps a key from having two rows. One thread each; every call may throw, and rollback() must follow
/// then.
class Rows {
 public:
  virtual ~Rows() = default;
  virtual void begin() = 0;
  /// Of the open transaction.
  virtual onceward::Storage& storage() = 0;
  virtual void add(const std::string& key, const std::string& result) = 0;
  virtual void commit() = 0;
  virtual void rollback() noexcept = 0;
  [[nodiscard]] virtual std::vector<Effect> all() = 0;
};

[[nodiscard]] std::unique_ptr<Rows> sqlite_rows(const std::string& file);
/// On a MariaDB server whose database "onceward" has the storage's tables. Connects when it begins a
/// transaction, and again after an error.
[[nodiscard]] std::unique_ptr<Rows> mariadb_rows(int port);
void make_mariadb_rows(int port);

}  // namespace torture
