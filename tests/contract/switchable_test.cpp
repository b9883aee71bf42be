#include <onceward/storage/memory.hpp>
#include <onceward/storage/switchable.hpp>
#if defined(ONCEWARD_TEST_SQLITE)
#include <onceward/storage/sqlite.hpp>
#endif

#include "contract/run_contract.hpp"
#include "support/waited_clock.hpp"
#include "support/temporary_folder.hpp"

#include <atomic>

using namespace onceward;

namespace {

/// A switchable storage with the clock that its two storages share, which changes its primary as told.
class UnderTest final : public Storage {
 public:
  UnderTest(std::unique_ptr<WaitedClock> clock, std::unique_ptr<SwitchableStorage> inner,
            std::size_t calls_between_switches)
      : clock_(std::move(clock)), inner_(std::move(inner)), between_(calls_between_switches) {}

  Result<CommitAnswer> commit(std::span<const Batch> batches) override {
    move_on();
    return inner_->commit(batches);
  }
  Result<ReadAnswer> read(std::span<const RecordRef> records) override {
    move_on();
    return inner_->read(records);
  }
  Result<ScanPage> scan(std::string_view partition, std::string_view prefix, std::string_view cursor,
                        std::size_t limit) override {
    return inner_->scan(partition, prefix, cursor, limit);
  }
  Result<DuePage> due(std::span<const Shard> shards, std::size_t limit) override {
    return inner_->due(shards, limit);
  }
  [[nodiscard]] Shard shard_count() const noexcept override { return inner_->shard_count(); }

 private:
  /// Now and then the other storage becomes the primary, and a little is drained between the switches, so
  /// that partitions are met in every state.
  void move_on() {
    if (between_ == 0) return;
    const auto call = ++calls_;
    if (call % between_ == 0) {
      const auto status = inner_->status();
      if (!status || !inner_->switch_to(status->other)) throw std::runtime_error("no switch");
    }
    if (call % (between_ + 1) == 0 && !inner_->drain(5)) throw std::runtime_error("no draining");
  }

  std::unique_ptr<WaitedClock> clock_;
  std::unique_ptr<SwitchableStorage> inner_;
  std::size_t between_;
  std::atomic<std::size_t> calls_ = 0;
};

using Pair = std::function<std::pair<std::shared_ptr<Storage>, std::shared_ptr<Storage>>(const Clock& clock)>;

testing::StorageUnderTest::Open opener(const Pair& pair, bool switched, std::size_t between) {
  const auto before = std::make_shared<std::atomic<std::int64_t>>(0);
  return [=](const Clock& clock) -> Result<std::unique_ptr<Storage>> {
    auto waited = std::make_unique<WaitedClock>(clock, before);
    const auto [one, two] = pair(*waited);
    auto opened = SwitchableStorage::open(
        {"one", one}, {"two", two},
        {.sleep = [clock = waited.get()](Duration duration) { clock->wait(duration); }});
    if (!opened) return fail(std::move(opened).error());
    if (switched) {
      if (auto done = (*opened)->switch_to("two"); !done) return fail(std::move(done).error());
    }
    return std::unique_ptr<Storage>(
        std::make_unique<UnderTest>(std::move(waited), std::move(*opened), between));
  };
}

std::pair<std::shared_ptr<Storage>, std::shared_ptr<Storage>> two_memories(const Clock& clock) {
  return {open_memory({.clock = &clock}).value(), open_memory({.clock = &clock}).value()};
}

}  // namespace

TEST_CASE("a switchable storage that was never switched keeps the contract") {
  run_contract({.name = "switchable memory", .open_fresh = opener(two_memories, false, 0)});
}

TEST_CASE("a switched storage keeps the contract") {
  run_contract({.name = "switched memory", .open_fresh = opener(two_memories, true, 0)});
}

TEST_CASE("a storage that is switched and drained all the time keeps the contract") {
  run_contract({.name = "restless memory", .open_fresh = opener(two_memories, false, 3), .one_clock = false});
}

#if defined(ONCEWARD_TEST_SQLITE)
namespace {

void run_over_files(std::size_t between) {
  const TemporaryFolder folder;
  int count = 0;
  const Pair files = [&](const Clock& clock) {
    const auto open = [&](const std::string& name) {
      return std::shared_ptr<Storage>(
          sqlite::open(folder.file(name + "-" + std::to_string(count) + ".db"),
                       {.synchronous = sqlite::Synchronous::normal, .clock = &clock})
              .value());
    };
    return std::pair(open("one"), open("two"));
  };
  const auto open = opener(files, true, between);
  run_contract({.name = "switched SQLite",
                .open_fresh = [&](const Clock& clock) { return ++count, open(clock); },
                .reopen = open,
                .one_clock = between == 0});
}

}  // namespace

TEST_CASE("two SQLite files that were switched once keep the contract") { run_over_files(0); }

TEST_CASE("two SQLite files that are switched and drained all the time keep the contract") {
  run_over_files(4);
}
#endif
