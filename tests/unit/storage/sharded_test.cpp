#include <onceward/storage/memory.hpp>
#include <onceward/storage/partitions.hpp>
#include <onceward/storage/sharded.hpp>
#include <onceward/testing/fake_clock.hpp>
#include <onceward/testing/faulty_storage.hpp>

#include "storage/decorators/members.hpp"
#include "support/catch.hpp"
#include "support/partition_walk.hpp"
#include "support/unlisted_storage.hpp"

#include <algorithm>
#include <set>

using namespace onceward;
using testing::FaultyStorage;

namespace {

/// Memory storages that outlive what is opened over them, each behind faults.
struct Servers {
  std::vector<std::unique_ptr<Storage>> inner;
  std::vector<std::shared_ptr<FaultyStorage>> faulty;
  explicit Servers(std::size_t count, Shard shards = 64) {
    for (std::size_t i = 0; i < count; ++i) add(shards);
  }
  void add(Shard shards = 64) {
    inner.push_back(open_memory({.shards = shards}).value());
    faulty.push_back(std::make_shared<FaultyStorage>(*inner.back()));
  }
  [[nodiscard]] Result<std::unique_ptr<Storage>> open(const std::vector<std::string>& names) const {
    std::vector<StorageMember> members;
    for (const auto& name : names) {
      members.push_back({name, faulty.at(static_cast<std::size_t>(name.at(0) - 'a'))});
    }
    return open_sharded(std::move(members));
  }
};

Batch insert(const std::string& partition) { return {partition, {Operation::insert("k", "v")}}; }

void check_refused(const Result<std::unique_ptr<Storage>>& opened, ErrorCode code, const std::string& says) {
  REQUIRE_FALSE(opened.has_value());
  INFO(opened.error().message);
  CHECK(opened.error().code == code);
  CHECK(opened.error().message.find(says) != std::string::npos);
}

/// Partitions of a test, one on each member, found by the hash that the storage uses.
std::vector<std::string> one_on_each(const std::vector<std::string>& names) {
  std::vector<std::uint64_t> hashes;
  for (const auto& name : names) hashes.push_back(stable_hash(name));
  std::vector<std::string> found(names.size());
  for (int i = 0; std::count(found.begin(), found.end(), "") > 0; ++i) {
    auto partition = "shop/" + std::to_string(i);
    found[storage_detail::rendezvous(hashes, partition)] = std::move(partition);
  }
  return found;
}

}  // namespace

TEST_CASE("a member more takes its part of the partitions and moves no other") {
  const std::vector<std::uint64_t> three{stable_hash("a"), stable_hash("b"), stable_hash("c")};
  auto four = three;
  four.push_back(stable_hash("d"));
  std::vector<int> before(3);
  std::vector<int> after(4);
  constexpr int partitions = 20'000;
  for (int i = 0; i < partitions; ++i) {
    const auto name = "merchant/user/" + std::to_string(i);
    const auto old_place = storage_detail::rendezvous(three, name);
    const auto new_place = storage_detail::rendezvous(four, name);
    CHECK((new_place == old_place || new_place == 3));
    ++before[old_place];
    ++after[new_place];
  }
  for (const int part : before) CHECK(std::abs(part - partitions / 3) < partitions / 30);
  for (const int part : after) CHECK(std::abs(part - partitions / 4) < partitions / 30);
}

TEST_CASE("the members are known again in any order, and a set that is not theirs is refused") {
  Servers servers(4);
  CHECK(servers.open({"a", "b", "c"}).has_value());
  CHECK(servers.open({"c", "a", "b"}).has_value());
  const auto wrong = ErrorCode::invalid_argument;
  check_refused(servers.open({"a", "b"}), wrong, "\"count\":3");
  check_refused(servers.open({"a", "b", "c", "d"}), wrong, "belongs to another set");
  check_refused(servers.open({"a", "b", "d"}), wrong, "belongs to another set");
  SECTION("two that changed their places") {
    std::swap(servers.faulty[0], servers.faulty[1]);
    check_refused(servers.open({"a", "b", "c"}), wrong, "\"self\":\"b\"");
  }
  SECTION("one that was wiped") {
    servers.add();
    std::swap(servers.faulty[1], servers.faulty.back());
    check_refused(servers.open({"a", "b", "c"}), ErrorCode::corrupt, "storage \"b\" is empty");
  }
}

TEST_CASE("a set whose founding was broken off is founded by the next opening") {
  for (std::size_t calls = 0; calls < 6; ++calls) {
    const Servers servers(3);
    for (std::size_t i = 0; i < 3; ++i) {
      // The writes go round: member 0, 1, 2 as new, then 0, 1, 2 as settled.
      if (calls % 3 != i) continue;
      servers.faulty[i]->fail_calls(FaultyStorage::Call::commit, FaultyStorage::Fault::before,
                                    ErrorCode::unavailable, 1, calls / 3);
    }
    check_refused(servers.open({"a", "b", "c"}), ErrorCode::unavailable, "storage \"");
    CHECK(servers.open({"a", "b", "c"}).has_value());
    CHECK(servers.open({"a", "b"}).error().code == ErrorCode::invalid_argument);
  }
}

TEST_CASE("members that do not fit together are refused") {
  const auto wrong = ErrorCode::invalid_argument;
  Servers servers(2);
  servers.add(8);
  check_refused(servers.open({"a", "c"}), wrong, "8; all need the same count");
  check_refused(servers.open({"a", "a"}), wrong, "comes twice");
  check_refused(servers.open({}), wrong, "0 members");
  check_refused(servers.open({"a b"}), wrong, "letters");
  check_refused(open_sharded({{"a", nullptr}}), wrong, "no storage");
  check_refused(open_sharded({{"a", servers.faulty[0]}, {"b", servers.faulty[0]}}), wrong,
                "the same storage");
}

TEST_CASE("a span is refused plainly while nothing was applied, and in doubt once something was") {
  const Servers servers(2);
  const auto sharded = servers.open({"a", "b"}).value();
  const auto partitions = one_on_each({"a", "b"});
  const std::vector<Batch> span{insert(partitions[0]), insert(partitions[1])};
  const auto fail_next = [&](std::size_t member, ErrorCode code) {
    servers.faulty[member]->fail_calls(FaultyStorage::Call::commit, FaultyStorage::Fault::before, code);
  };

  fail_next(0, ErrorCode::unavailable);
  auto answer = sharded->commit(span);
  CHECK(answer.error().code == ErrorCode::unavailable);
  CHECK(answer.error().message.find("storage \"a\"") != std::string::npos);
  CHECK_FALSE(read_one(*sharded, partitions[1], "k").value());

  fail_next(1, ErrorCode::exhausted);
  answer = sharded->commit(span);
  CHECK(answer.error().code == ErrorCode::in_doubt);
  CHECK(answer.error().message.find("exhausted") != std::string::npos);
  CHECK(read_one(*sharded, partitions[0], "k").value());
  CHECK_FALSE(read_one(*sharded, partitions[1], "k").value());

  // The first member now only refuses: nothing was applied, and the error keeps its meaning.
  fail_next(1, ErrorCode::timeout);
  CHECK(sharded->commit(span).error().code == ErrorCode::timeout);
  answer = sharded->commit(span);
  CHECK_FALSE(answer->batches[0].applied());
  CHECK(answer->batches[1].applied());
}

TEST_CASE("a member that is away fails what needs it, and nothing else") {
  const Servers servers(2);
  const auto sharded = servers.open({"a", "b"}).value();
  const auto partitions = one_on_each({"a", "b"});
  for (const auto call : {FaultyStorage::Call::commit, FaultyStorage::Call::read, FaultyStorage::Call::scan,
                          FaultyStorage::Call::due}) {
    servers.faulty[1]->fail_calls(call, FaultyStorage::Fault::before, ErrorCode::unavailable, 1000);
  }
  CHECK(commit_one(*sharded, insert(partitions[0]))->applied());
  CHECK(read_one(*sharded, partitions[0], "k").value());
  CHECK(sharded->scan(partitions[0], {}, {}, 10)->records.size() == 1);
  CHECK(commit_one(*sharded, insert(partitions[1])).error().code == ErrorCode::unavailable);
  CHECK(sharded->scan(partitions[1], {}, {}, 10).error().code == ErrorCode::unavailable);
  const std::vector<RecordRef> both{{partitions[0], "k"}, {partitions[1], "k"}};
  CHECK(sharded->read(both).error().code == ErrorCode::unavailable);
  CHECK(sharded->due({}, 10).error().code == ErrorCode::unavailable);
}

TEST_CASE(
    "a member whose clock is behind is shown in the time of the others, its leases to the microsecond") {
  using namespace std::chrono_literals;
  const testing::FakeClock ahead;
  const testing::FakeClock behind(ahead.now() - 10s);
  const auto late = std::shared_ptr<Storage>(open_memory({.clock = &behind}).value());
  const auto sharded = open_sharded({{"a", open_memory({.clock = &ahead}).value()}, {"b", late}}).value();
  const auto partition = one_on_each({"a", "b"})[1];
  const Timing timing{.due_in = 3s, .expires_in = 5s};
  const auto written =
      sharded->commit(std::vector<Batch>{{partition, {Operation::insert("k", "v", timing)}}});
  CHECK(written->now >= ahead.now());
  CHECK(written->now < ahead.now() + 1s);  // by what it took to ask them
  CHECK(read_one(*sharded, partition, "k").value()->due == written->now + 3s);
  CHECK(sharded->scan(partition, {}, {}, 1)->records.at(0).expires == written->now + 5s);
  CHECK(sharded->due({}, 1)->next == written->now + 3s);
  CHECK(commit_one(*sharded, insert(partition))->found->due == written->now + 3s);
  CHECK(read_one(*late, partition, "k").value()->due == behind.now() + 3s);
}

TEST_CASE("what the members remember of each other is no caller's partition") {
  const Servers servers(2);
  const auto sharded = servers.open({"a", "b"}).value();
  const auto wrong = ErrorCode::invalid_argument;
  CHECK(commit_one(*sharded, insert("onceward/sharded")).error().code == wrong);
  CHECK(read_one(*sharded, "onceward/sharded", "members").error().code == wrong);
  CHECK(sharded->scan("onceward/sharded", {}, {}, 10).error().code == wrong);
}

TEST_CASE("the partitions of all members are listed once each") {
  std::vector<StorageMember> members;
  for (const auto* name : {"a", "b", "c"}) members.push_back({name, open_memory().value()});
  const auto sharded = open_sharded(members).value();
  std::set<std::string> wanted;
  for (int i = 0; i < 100; ++i) {
    wanted.insert("shop/" + std::to_string(i));
    REQUIRE(commit_one(*sharded, insert("shop/" + std::to_string(i)))->applied());
  }
  std::set<std::string> listed;
  std::string cursor;
  do {
    const auto page = list_partitions(*sharded, cursor, 7).value();
    for (const auto& name : page.partitions) CHECK(listed.insert(name).second);
    cursor = page.cursor;
  } while (!cursor.empty());
  CHECK(listed == wanted);
  CHECK(list_partitions(*sharded, "x", 7).error().code == ErrorCode::invalid_argument);
  CHECK(list_partitions(*sharded, "", 0).error().code == ErrorCode::invalid_argument);
  const auto one = open_memory().value();
  const auto other = open_memory().value();
  const auto without_list = open_sharded({{"a", std::make_shared<UnlistedStorage>(*one)},
                                          {"b", std::make_shared<UnlistedStorage>(*other)}})
                                .value();
  CHECK(list_partitions(*without_list, "", 7).error().code == ErrorCode::wrong_state);
}

TEST_CASE("memory and sharded storages list their partitions") {
  check_partition_walk(*open_memory().value(), 2'000);
  std::vector<StorageMember> members;
  for (const auto* name : {"a", "b", "c"}) members.push_back({name, open_memory().value()});
  check_partition_walk(*open_sharded(std::move(members)).value(), 2'000);
}
