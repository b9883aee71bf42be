#include <onceward/storage/memory.hpp>
#include <onceward/testing/faulty_storage.hpp>

#include "support/catch.hpp"

using namespace onceward;
using testing::FaultyStorage;
using Call = FaultyStorage::Call;
using Fault = FaultyStorage::Fault;

namespace {

struct Bench {
  std::unique_ptr<Storage> memory = open_memory().value();
  FaultyStorage storage{*memory};

  Result<BatchAnswer> insert(std::string key) {
    return commit_one(storage, {"shop", {Operation::insert(std::move(key), "v")}});
  }
  bool there(std::string_view key) { return read_one(*memory, "shop", key).value().has_value(); }
};

}  // namespace

TEST_CASE("a fault before the call leaves nothing, a fault after it loses only the answer") {
  Bench bench;
  bench.storage.fail_calls(Call::commit, Fault::before, ErrorCode::unavailable);
  CHECK(bench.insert("a").error().code == ErrorCode::unavailable);
  CHECK_FALSE(bench.there("a"));
  bench.storage.fail_calls(Call::commit, Fault::after, ErrorCode::in_doubt);
  CHECK(bench.insert("b").error().code == ErrorCode::in_doubt);
  CHECK(bench.there("b"));
  CHECK(bench.insert("c")->applied());
}

TEST_CASE("a fault lets the calls it skips pass and ends after its count, or when it is healed") {
  Bench bench;
  bench.storage.fail_calls(Call::commit, Fault::before, ErrorCode::timeout, 2, 1);
  CHECK(bench.insert("a").has_value());
  CHECK_FALSE(bench.insert("b").has_value());
  CHECK_FALSE(bench.insert("c").has_value());
  CHECK(bench.insert("d").has_value());
  bench.storage.fail_calls(Call::commit, Fault::before, ErrorCode::timeout, 100);
  CHECK_FALSE(bench.insert("e").has_value());
  bench.storage.heal();
  CHECK(bench.insert("e").has_value());
  CHECK(bench.storage.calls(Call::commit) == 6);
}

TEST_CASE("a fault strikes its own kind of call alone") {
  Bench bench;
  for (const auto struck : {Call::read, Call::scan, Call::due}) {
    bench.storage.fail_calls(struck, Fault::before, ErrorCode::unavailable);
    CHECK(commit_one(bench.storage, {"shop", {Operation::add("n", 1)}}).has_value());
    CHECK(read_one(bench.storage, "shop", "n").has_value() == (struck != Call::read));
    CHECK(bench.storage.scan("shop", {}, {}, 10).has_value() == (struck != Call::scan));
    CHECK(bench.storage.due({}, 10).has_value() == (struck != Call::due));
  }
  CHECK(bench.storage.shard_count() == bench.memory->shard_count());
}

TEST_CASE("the hook is called on both sides of every call, also of one that fails") {
  Bench bench;
  std::vector<std::string> points;
  bench.storage.on_call([&](std::string_view point) {
    points.emplace_back(point);
    if (point == "commit.before") CHECK_FALSE(bench.there("a"));
    if (point == "commit.after") CHECK(bench.there("a"));
  });
  CHECK(bench.insert("a").has_value());
  CHECK(bench.storage.due({}, 1).has_value());
  bench.storage.fail_calls(Call::read, Fault::before, ErrorCode::unavailable);
  CHECK_FALSE(read_one(bench.storage, "shop", "a").has_value());
  CHECK(points ==
        std::vector<std::string>{"commit.before", "commit.after", "due.before", "due.after", "read.before"});
}
