// Random operations, crashes and repetitions against the reference model; fewer here than by hand
// (task_model).
#include "fault/task/model_driver.hpp"

#include <onceward/storage/sqlite.hpp>

#include "support/catch.hpp"
#include "support/temporary_folder.hpp"

using namespace task_model;

TEST_CASE("whatever users, crashes and clocks do, on memory all is as the model has it [task-53]") {
  for (unsigned seed = 1; seed <= 100; ++seed) {
    const auto wrong = check_seed(open_in_memory, seed, 200);
    INFO(wrong);
    REQUIRE(wrong.empty());
  }
}

TEST_CASE("the same on SQLite") {
  const TemporaryFolder folder;
  int file = 0;
  const OpenStorage on_sqlite = [&](const Clock& clock) {
    const auto path = folder.file(std::to_string(++file) + ".db");
    return sqlite::open(path, {.synchronous = sqlite::Synchronous::normal, .clock = &clock}).value();
  };
  for (unsigned seed = 1001; seed <= 1020; ++seed) {
    const auto wrong = check_seed(on_sqlite, seed, 200);
    INFO(wrong);
    REQUIRE(wrong.empty());
  }
}

TEST_CASE("a model that is wrong is found out, and shrunk to what shows it") {
  // Over a storage that forgets a write now and then, which no storage may do.
  class Forgetful final : public Storage {
   public:
    explicit Forgetful(std::unique_ptr<Storage> inner) : inner_(std::move(inner)) {}
    Result<CommitAnswer> commit(std::span<const Batch> batches) override {
      if (++commits_ % 37 != 0) return inner_->commit(batches);
      CommitAnswer answer;
      answer.batches.resize(batches.size());
      for (auto& batch : answer.batches) batch.revision = 1;
      return answer;
    }
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
    std::unique_ptr<Storage> inner_;
    int commits_ = 0;
  };
  const OpenStorage forgetful = [](const Clock& clock) {
    return std::make_unique<Forgetful>(open_in_memory(clock));
  };
  const auto wrong = check_seed(forgetful, 1, 100);
  CHECK(wrong.find("fewest operations") != std::string::npos);
}
