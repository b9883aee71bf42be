#include <onceward/storage/mariadb.hpp>

#include "contract/run_contract.hpp"
#include "support/mariadb_server.hpp"

#include <array>
#include <atomic>

using namespace onceward;

namespace {

/// One server for all cases: a section runs the whole function again.
MariadbServer& server() {
  static MariadbServer one({"--innodb-flush-log-at-trx-commit=2"});
  return one;
}

std::string fresh_database() {
  static int count = 0;
  const auto name = "contract_" + std::to_string(++count);
  if (!server().command("CREATE DATABASE " + name)) throw std::runtime_error("no database for a case");
  return name;
}

/// An enlisted storage in a transaction that stands open as long as it does, as in a caller's program.
class InTransaction final : public Storage {
 public:
  InTransaction(Mysql connection, const Clock& clock) : connection_(std::move(connection)) {
    inner_ = mariadb::enlist(connection_.get(), {.clock = &clock}).value();
    if (mysql_query(connection_.get(), "BEGIN") != 0) throw std::runtime_error("BEGIN failed");
  }
  Result<CommitAnswer> commit(std::span<const Batch> batches) override { return inner_->commit(batches); }
  Result<ReadAnswer> read(std::span<const RecordRef> records) override { return inner_->read(records); }
  Result<ScanPage> scan(std::string_view partition, std::string_view prefix, std::string_view cursor,
                        std::size_t limit) override {
    return inner_->scan(partition, prefix, cursor, limit);
  }
  Result<DuePage> due(std::span<const Shard> shards, std::size_t limit) override {
    return inner_->due(shards, limit);
  }
  [[nodiscard]] Shard shard_count() const noexcept override { return inner_->shard_count(); }

 private:
  Mysql connection_;
  std::unique_ptr<Storage> inner_;
};

/// Two storages over the same tables, asked in turn, as two processes would: a call meets what the other one
/// wrote, and locks, and nothing of its memory.
class InTurn final : public Storage {
 public:
  InTurn(std::unique_ptr<Storage> one, std::unique_ptr<Storage> two)
      : storages_{std::move(one), std::move(two)} {}
  Result<CommitAnswer> commit(std::span<const Batch> batches) override { return next().commit(batches); }
  Result<ReadAnswer> read(std::span<const RecordRef> records) override { return next().read(records); }
  Result<ScanPage> scan(std::string_view partition, std::string_view prefix, std::string_view cursor,
                        std::size_t limit) override {
    return next().scan(partition, prefix, cursor, limit);
  }
  Result<DuePage> due(std::span<const Shard> shards, std::size_t limit) override {
    return next().due(shards, limit);
  }
  [[nodiscard]] Shard shard_count() const noexcept override { return storages_[0]->shard_count(); }

 private:
  Storage& next() { return *storages_[calls_++ % 2]; }
  std::array<std::unique_ptr<Storage>, 2> storages_;
  std::atomic<std::size_t> calls_ = 0;
};

}  // namespace

TEST_CASE("two MariaDB storages over the same tables keep the contract as one") {
  if (server().missing()) {
    WARN("skipped: there is no mariadbd on this machine");
    return;
  }
  static std::string database;
  const auto open = [](const Clock& clock) -> Result<std::unique_ptr<Storage>> {
    auto options = server().options(database);
    options.clock = &clock;
    return std::make_unique<InTurn>(mariadb::open(options).value(), mariadb::open(options).value());
  };
  run_contract({.name = "two of MariaDB",
                .open_fresh = [&](const Clock& clock) { return database = fresh_database(), open(clock); },
                .reopen = open});
}

TEST_CASE("the MariaDB storage keeps the contract") {
  if (server().missing()) {
    WARN("skipped: there is no mariadbd on this machine");
    return;
  }
  static std::string database;
  const auto open = [](const Clock& clock) {
    auto options = server().options(database);
    options.clock = &clock;
    return mariadb::open(options);
  };
  run_contract({.name = "MariaDB",
                .open_fresh = [&](const Clock& clock) { return database = fresh_database(), open(clock); },
                .reopen = open});
}

TEST_CASE("a storage enlisted in a caller's MariaDB transaction keeps the contract") {
  if (server().missing()) {
    WARN("skipped: there is no mariadbd on this machine");
    return;
  }
  run_contract({.name = "enlisted MariaDB",
                .open_fresh = [](const Clock& clock) -> Result<std::unique_ptr<Storage>> {
                  const auto database = fresh_database();
                  if (auto made = mariadb::open(server().options(database)); !made) return made;
                  return std::unique_ptr<Storage>(
                      std::make_unique<InTransaction>(server().connect(database), clock));
                },
                .concurrent = false});
}
