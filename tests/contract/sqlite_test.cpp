#include <onceward/storage/sqlite.hpp>

#include "contract/run_contract.hpp"
#include "support/temporary_folder.hpp"

#include <SQLiteCpp/Database.h>

using namespace onceward;

namespace {

/// Files under which the contract runs: each fresh one has a new name.
struct Files {
  TemporaryFolder folder;
  int count = 0;
  [[nodiscard]] std::string current() const {
    return folder.file("contract-" + std::to_string(count) + ".db");
  }
};

/// An enlisted storage in a transaction that stands open as long as it does, as in a caller's program.
class InTransaction final : public Storage {
 public:
  explicit InTransaction(const Clock& clock)
      : database_(":memory:", SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE),
        inner_(sqlite::enlist(database_, {.clock = &clock}).value()) {
    database_.exec("BEGIN IMMEDIATE");
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
  SQLite::Database database_;
  std::unique_ptr<Storage> inner_;
};

}  // namespace

TEST_CASE("the SQLite storage keeps the contract") {
  Files files;
  const auto open = [&](const Clock& clock) {
    return sqlite::open(files.current(), {.synchronous = sqlite::Synchronous::normal, .clock = &clock});
  };
  run_contract({.name = "SQLite",
                .open_fresh = [&](const Clock& clock) { return ++files.count, open(clock); },
                .reopen = open});
}

TEST_CASE("a storage enlisted in a caller's SQLite transaction keeps the contract") {
  run_contract({.name = "enlisted SQLite",
                .open_fresh = [](const Clock& clock) -> Result<std::unique_ptr<Storage>> {
                  return std::unique_ptr<Storage>(std::make_unique<InTransaction>(clock));
                },
                .concurrent = false});
}
