#include "testing/contract_harness.hpp"

#include <fmt/format.h>

namespace onceward::testing::contract_detail {
namespace {

constexpr ContractCase cases[] = {
    {"everything answered is there after a reopening",
     [](Contract& contract) {
       std::string bytes;
       for (int i = 0; i < 256; ++i) bytes += static_cast<char>(i);
       put(contract, "shop/ann", "a", bytes, {.due_in = ticks(5), .expires_in = ticks(90)});
       apply(contract, "shop/ann", {Op::add("count", 7)});
       put(contract, "shop/ann", std::string("k\0\xff", 3), "");
       put(contract, "shop/bob", "b", std::string(limits::value_bytes, 'v'));
       const auto ann = all_of(contract, "shop/ann");
       const auto bob = all_of(contract, "shop/bob");
       contract.reopen();
       EXPECT_EQ(all_of(contract, "shop/ann"), ann);
       EXPECT_EQ(all_of(contract, "shop/bob"), bob);
     },
     {.reopening = true}},
    {"a removal is remembered by a reopening",
     [](Contract& contract) {
       const auto first = put(contract, "shop/ann", "a", "1");
       apply(contract, "shop/ann", {Op::remove("a", first)});
       contract.reopen();
       EXPECT(!get(contract, "shop/ann", "a"));
     },
     {.reopening = true}},
    {"the number of shards is kept by a reopening",
     [](Contract& contract) {
       const auto count = contract.storage().shard_count();
       const auto shard = contract.storage().shard_of("shop/ann");
       contract.reopen();
       EXPECT_EQ(contract.storage().shard_count(), count);
       EXPECT_EQ(contract.storage().shard_of("shop/ann"), shard);
     },
     {.reopening = true}},
    {"due records are due after a reopening",
     [](Contract& contract) {
       put(contract, "shop/ann", "now", "1", {.due_in = Duration(0)});
       put(contract, "shop/bob", "later", "1", {.due_in = ticks(2)});
       contract.reopen();
       EXPECT_EQ(keys_of(due(contract)), Keys{"now"});
       contract.clock().advance(ticks(2));
       EXPECT_EQ(keys_of(due(contract)), Keys{"now", "later"});
     },
     {.reopening = true}},
    {"expiry goes on while the storage is closed",
     [](Contract& contract) {
       put(contract, "shop/ann", "a", "1", {.expires_in = ticks(2)});
       contract.reopen();
       contract.clock().advance(ticks(2));
       EXPECT(!get(contract, "shop/ann", "a"));
       EXPECT(commit(contract, "shop/ann", {Op::insert("a", "2")}).applied());
     },
     {.reopening = true}},
    {"revisions go on growing after a reopening, also of removed and expired keys",
     [](Contract& contract) {
       const auto kept = put(contract, "shop/ann", "kept", "1");
       const auto expired = put(contract, "shop/ann", "expired", "1", {.expires_in = ticks(1)});
       auto removed = put(contract, "shop/ann", "removed", "1");
       for (int i = 0; i < 20; ++i)
         removed = apply(contract, "shop/ann", {Op::replace("removed", removed, "x")});
       apply(contract, "shop/ann", {Op::remove("removed", removed)});
       contract.reopen();
       EXPECT(put(contract, "shop/ann", "removed", "2") > removed);
       EXPECT(apply(contract, "shop/ann", {Op::replace("kept", kept, "2")}) > kept);
       contract.clock().advance(ticks(1));
       EXPECT(put(contract, "shop/ann", "expired", "2") > expired);
     },
     {.reopening = true}},
    {"revisions and time go on although the clock was set back while it was closed",
     [](Contract& contract) {
       auto removed = put(contract, "shop/ann", "removed", "1");
       const auto kept = put(contract, "shop/ann", "kept", "1");
       apply(contract, "shop/ann", {Op::remove("removed", removed)});
       const auto expiring = put(contract, "shop/ann", "expired", "1", {.expires_in = ticks(1)});
       contract.clock().advance(ticks(1));
       const auto reached = commit(contract, {{"shop/ann", {Op::add("count", 1)}}}).now;
       EXPECT(!get(contract, "shop/ann", "expired"));
       contract.clock().advance(ticks(-9));
       contract.reopen();
       // Of this partition: others may live on a server with a clock of its own.
       EXPECT(read(contract, {RecordRef{"shop/ann", "nobody-writes-this"}}).now >= reached);
       EXPECT(!get(contract, "shop/ann", "expired"));
       EXPECT(put(contract, "shop/ann", "expired", "2") > expiring);
       EXPECT(put(contract, "shop/ann", "removed", "2") > removed);
       EXPECT(apply(contract, "shop/ann", {Op::replace("kept", kept, "2")}) > kept);
     },
     {.reopening = true}},
    {"a counter goes on after a reopening within its bounds",
     [](Contract& contract) {
       apply(contract, "shop", {Op::add("stock", 2, 0, 3)});
       contract.reopen();
       EXPECT_EQ(commit(contract, "shop", {Op::add("stock", 1, 0, 3)}).counters,
                 std::vector<std::int64_t>{3});
       expect_refused(contract, "shop", {Op::add("stock", 1, 0, 3)}, 0);
     },
     {.reopening = true}},
    {"a refused batch leaves no trace after a reopening",
     [](Contract& contract) {
       put(contract, "shop/ann", "there", "1");
       expect_refused(contract, "shop/ann", {Op::insert("a", "1"), Op::add("c", 1), Op::insert("there", "2")},
                      2);
       contract.reopen();
       EXPECT_EQ(keys_of(all_of(contract, "shop/ann")), Keys{"there"});
     },
     {.reopening = true}},
    {"a large span is there whole after a reopening",
     [](Contract& contract) {
       std::vector<Batch> batches;
       for (int i = 0; i < 1000; ++i) {
         batches.push_back(
             {fmt::format("shop/{}", i % 10), {Op::insert(fmt::format("k{:04}", i), "v"), Op::add("n", 1)}});
       }
       commit(contract, batches);
       contract.reopen();
       for (int i = 0; i < 10; ++i) {
         const auto partition = fmt::format("shop/{}", i);
         EXPECT_EQ(all_of(contract, partition).size(), 101u);
         EXPECT_EQ(get(contract, partition, "n").value_or(Record{}).value, "100");
       }
     },
     {.reopening = true}},
};

}  // namespace

std::span<const ContractCase> durability_cases() { return cases; }

}  // namespace onceward::testing::contract_detail
