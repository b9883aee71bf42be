#include "testing/contract_harness.hpp"

#include <fmt/format.h>

namespace onceward::testing::contract_detail {
namespace {

constexpr ContractCase cases[] = {
    {"a record is due from its due time on",
     [](Contract& contract) {
       put(contract, "shop/ann", "a", "1", {.due_in = ticks(3)});
       const auto early = due(contract);
       EXPECT(early.entries.empty());
       EXPECT_EQ(early.next, get(contract, "shop/ann", "a").value_or(Record{}).due);
       contract.clock().advance(ticks(3));
       const auto page = due(contract);
       EXPECT_EQ(keys_of(page), Keys{"a"});
       EXPECT(!page.next);
     }},
    {"a record without a due time is never due",
     [](Contract& contract) {
       put(contract, "shop/ann", "a", "1");
       put(contract, "shop/ann", "b", "1", {.expires_in = ticks(50)});
       contract.clock().advance(ticks(10));
       const auto page = due(contract);
       EXPECT(page.entries.empty());
       EXPECT(!page.next);
     }},
    {"a due time of zero is due at once",
     [](Contract& contract) {
       put(contract, "shop/ann", "a", "1", {.due_in = Duration(0)});
       EXPECT_EQ(keys_of(due(contract)), Keys{"a"});
     }},
    {"a due entry holds its partition and the whole record",
     [](Contract& contract) {
       put(contract, "shop/ann", "a", std::string("\0\xff", 2),
           {.due_in = Duration(0), .expires_in = ticks(50)});
       const auto page = due(contract);
       if (!EXPECT_EQ(page.entries.size(), 1u)) return;
       EXPECT_EQ(page.entries[0].partition, "shop/ann");
       EXPECT_EQ(page.entries[0].record, get(contract, "shop/ann", "a").value_or(Record{}));
     }},
    {"due records of all shards come oldest first",
     [](Contract& contract) {
       for (const int i : {5, 2, 8, 1, 9, 3, 7, 4, 6}) {
         put(contract, fmt::format("shop/{}", i), fmt::format("k{}", i), "v", {.due_in = ticks(i)});
       }
       contract.clock().advance(ticks(9));
       EXPECT_EQ(keys_of(due(contract)), Keys{"k1", "k2", "k3", "k4", "k5", "k6", "k7", "k8", "k9"});
     }},
    {"a full page of due records names the time of the next one",
     [](Contract& contract) {
       for (int i = 1; i <= 6; ++i) {
         put(contract, fmt::format("shop/{}", i), fmt::format("k{}", i), "v", {.due_in = ticks(i)});
       }
       contract.clock().advance(ticks(5));
       const auto page = due(contract, {}, 3);
       EXPECT_EQ(keys_of(page), Keys{"k1", "k2", "k3"});
       EXPECT_EQ(page.next, get(contract, "shop/4", "k4").value_or(Record{}).due);
       EXPECT_EQ(due(contract, {}, 5).next, get(contract, "shop/6", "k6").value_or(Record{}).due);
     }},
    {"due in one partition is limited and ordered too",
     [](Contract& contract) {
       for (const int i : {3, 1, 2, 5, 4}) {
         put(contract, "shop/ann", fmt::format("k{}", i), "v", {.due_in = ticks(i)});
       }
       contract.clock().advance(ticks(4));
       const auto page = due(contract, {}, 2);
       EXPECT_EQ(keys_of(page), Keys{"k1", "k2"});
       EXPECT_EQ(page.next, get(contract, "shop/ann", "k3").value_or(Record{}).due);
     }},
    {"due shows only the shards it is asked for",
     [](Contract& contract) {
       const auto apart = partitions_apart(contract, 3);
       for (const auto& partition : apart)
         put(contract, partition, "of " + partition, "v", {.due_in = Duration(0)});
       const Shard first = contract.storage().shard_of(apart[0]);
       const Shard third = contract.storage().shard_of(apart[2]);
       EXPECT_EQ(keys_of(due(contract, {first})), Keys{"of " + apart[0]});
       EXPECT_EQ(due(contract, {first, third}).entries.size(), 2u);
       EXPECT_EQ(due(contract, {}).entries.size(), 3u);
     }},
    {"the next due time is of the shards asked for",
     [](Contract& contract) {
       const auto apart = partitions_apart(contract, 2);
       put(contract, apart[0], "soon", "v", {.due_in = ticks(2)});
       put(contract, apart[1], "later", "v", {.due_in = ticks(5)});
       const auto page = due(contract, {contract.storage().shard_of(apart[1])});
       EXPECT_EQ(page.next, get(contract, apart[1], "later").value_or(Record{}).due);
     }},
    {"a shard named twice shows its records once",
     [](Contract& contract) {
       put(contract, "shop/ann", "a", "v", {.due_in = Duration(0)});
       const Shard shard = contract.storage().shard_of("shop/ann");
       EXPECT_EQ(keys_of(due(contract, {shard, shard})), Keys{"a"});
     }},
    {"a replace without a due time clears it",
     [](Contract& contract) {
       const auto first = put(contract, "shop/ann", "a", "1", {.due_in = ticks(1)});
       apply(contract, "shop/ann", {Op::replace("a", first, "2")});
       contract.clock().advance(ticks(2));
       const auto page = due(contract);
       EXPECT(page.entries.empty());
       EXPECT(!page.next);
     }},
    {"a replace with a due time moves it",
     [](Contract& contract) {
       const auto first = put(contract, "shop/ann", "a", "1", {.due_in = ticks(1)});
       const auto second = apply(contract, "shop/ann", {Op::replace("a", first, "2", {.due_in = ticks(4)})});
       contract.clock().advance(ticks(2));
       EXPECT(due(contract).entries.empty());
       contract.clock().advance(ticks(2));
       EXPECT_EQ(keys_of(due(contract)), Keys{"a"});
       apply(contract, "shop/ann", {Op::replace("a", second, "3", {.due_in = Duration(0)})});
       const auto page = due(contract);
       EXPECT_EQ(keys_of(page), Keys{"a"});
       EXPECT_EQ(page.entries.at(0).record.value, "3");
     }},
    {"a removed record is not due",
     [](Contract& contract) {
       const auto first = put(contract, "shop/ann", "a", "1", {.due_in = Duration(0)});
       apply(contract, "shop/ann", {Op::remove("a", first)});
       const auto page = due(contract);
       EXPECT(page.entries.empty());
       EXPECT(!page.next);
     }},
    {"a refused batch makes nothing due",
     [](Contract& contract) {
       expect_refused(contract, "shop/ann",
                      {Op::insert("a", "1", {.due_in = Duration(0)}), Op::require("b", 1)}, 1);
       EXPECT(due(contract).entries.empty());
     }},
    {"looking at due records takes nothing",
     [](Contract& contract) {
       put(contract, "shop/ann", "a", "1", {.due_in = Duration(0)});
       EXPECT_EQ(keys_of(due(contract)), Keys{"a"});
       EXPECT_EQ(keys_of(due(contract)), Keys{"a"});
     }},
    {"a record that expired before it was due does not name the next due time",
     [](Contract& contract) {
       put(contract, "shop/ann", "gone", "1", {.due_in = ticks(5), .expires_in = ticks(1)});
       put(contract, "shop/ann", "there", "1", {.due_in = ticks(9)});
       contract.clock().advance(ticks(2));
       EXPECT_EQ(due(contract).next, get(contract, "shop/ann", "there").value_or(Record{}).due);
     }},
    {"expired records do not crowd live ones out of a due page",
     [](Contract& contract) {
       for (int i = 0; i < 20; ++i) {
         put(contract, "shop/ann", fmt::format("gone{}", i), "v",
             {.due_in = Duration(0), .expires_in = ticks(1)});
       }
       put(contract, "shop/ann", "there", "v", {.due_in = ticks(1)});
       contract.clock().advance(ticks(1));
       EXPECT_EQ(keys_of(due(contract, {}, 2)), Keys{"there"});
     }},
    {"due gives a page of the largest size",
     [](Contract& contract) {
       std::vector<Operation> operations;
       for (std::size_t i = 0; i < limits::batch_operations; ++i) {
         operations.push_back(Op::insert(fmt::format("k{:05}", i), "v", {.due_in = Duration(0)}));
       }
       apply(contract, "shop/ann", std::move(operations));
       const auto page = due(contract);
       EXPECT_EQ(page.entries.size(), limits::page_records);
       EXPECT(page.next.has_value());
     }},
    {"an emptied due page stays empty until work comes again",
     [](Contract& contract) {
       for (int i = 0; i < 10; ++i) {
         put(contract, fmt::format("shop/{}", i), "job", "v", {.due_in = Duration(0)});
       }
       std::size_t done = 0;
       for (auto page = due(contract, {}, 3); !page.entries.empty() && done < 20;
            page = due(contract, {}, 3)) {
         for (const auto& entry : page.entries) {
           apply(contract, entry.partition, {Op::remove(entry.record.key, entry.record.revision)});
           ++done;
         }
       }
       EXPECT_EQ(done, 10u);
       EXPECT(!due(contract).next);
     }},
};

}  // namespace

std::span<const ContractCase> due_cases() { return cases; }

}  // namespace onceward::testing::contract_detail
