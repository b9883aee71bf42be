#include "testing/contract_harness.hpp"

#include <fmt/format.h>

#include <limits>

namespace onceward::testing::contract_detail {
namespace {

constexpr auto smallest = std::numeric_limits<std::int64_t>::min();
constexpr auto largest = std::numeric_limits<std::int64_t>::max();

/// A record that ended to exist at this moment.
Revision put_expired(Contract& contract, const std::string& partition, const std::string& key,
                     const std::string& value) {
  const auto revision = put(contract, partition, key, value, {.expires_in = ticks(1)});
  contract.clock().advance(ticks(1));
  return revision;
}

constexpr ContractCase cases[] = {
    {"a record lives until its expiry and is absent for read from that moment on",
     [](Contract& contract) {
       put(contract, "shop/ann", "a", "1", {.expires_in = ticks(4)});
       contract.clock().advance(ticks(1));
       EXPECT(get(contract, "shop/ann", "a").has_value());
       contract.clock().advance(ticks(3));
       EXPECT(!get(contract, "shop/ann", "a"));
       contract.clock().advance(ticks(1));
       EXPECT(!get(contract, "shop/ann", "a"));
     }},
    {"a record that expires at once was never there",
     [](Contract& contract) {
       EXPECT(commit(contract, "shop/ann", {Op::insert("a", "1", {.expires_in = Duration(0)})}).applied());
       EXPECT(!get(contract, "shop/ann", "a"));
     }},
    {"an expired record is absent for scan",
     [](Contract& contract) {
       put(contract, "shop/ann", "a", "1");
       put(contract, "shop/ann", "c", "1");
       put_expired(contract, "shop/ann", "b", "1");
       EXPECT_EQ(keys_of(all_of(contract, "shop/ann")), Keys{"a", "c"});
     }},
    {"a page of a scan is full although expired records lie between",
     [](Contract& contract) {
       std::vector<Operation> operations;
       for (int i = 0; i < 20; ++i) {
         const Timing timing = i % 2 == 0 ? Timing{.expires_in = ticks(1)} : Timing{};
         operations.push_back(Op::insert(fmt::format("k{:02}", i), "v", timing));
       }
       apply(contract, "shop/ann", std::move(operations));
       contract.clock().advance(ticks(1));
       EXPECT_EQ(keys_of(scan(contract, "shop/ann", {}, {}, 3).records), Keys{"k01", "k03", "k05"});
       EXPECT_EQ(all_of(contract, "shop/ann").size(), 10u);
     }},
    {"an expired record is absent for due",
     [](Contract& contract) {
       put(contract, "shop/ann", "a", "1", {.due_in = ticks(1), .expires_in = ticks(2)});
       contract.clock().advance(ticks(2));
       const auto page = due(contract);
       EXPECT(page.entries.empty());
       EXPECT(!page.next);
     }},
    {"an expired record is absent for insert",
     [](Contract& contract) {
       put_expired(contract, "shop/ann", "a", "old");
       const auto revision = put(contract, "shop/ann", "a", "new");
       EXPECT_EQ(get(contract, "shop/ann", "a"), Record{"a", "new", revision, {}, {}});
       contract.clock().advance(ticks(1));
       EXPECT(get(contract, "shop/ann", "a").has_value());
     }},
    {"an expired record is absent for replace",
     [](Contract& contract) {
       const auto revision = put_expired(contract, "shop/ann", "a", "old");
       const auto answer = commit(contract, "shop/ann", {Op::replace("a", revision, "new")});
       EXPECT_EQ(answer.refused, 0u);
       EXPECT(!answer.found);
       EXPECT(!get(contract, "shop/ann", "a"));
     }},
    {"an expired record is absent for remove",
     [](Contract& contract) {
       const auto revision = put_expired(contract, "shop/ann", "a", "old");
       const auto answer = commit(contract, "shop/ann", {Op::remove("a", revision)});
       EXPECT_EQ(answer.refused, 0u);
       EXPECT(!answer.found);
     }},
    {"an expired record is absent for require",
     [](Contract& contract) {
       const auto revision = put_expired(contract, "shop/ann", "a", "old");
       EXPECT(commit(contract, "shop/ann", {Op::require("a", absent)}).applied());
       const auto answer = commit(contract, "shop/ann", {Op::require("a", revision)});
       EXPECT_EQ(answer.refused, 0u);
       EXPECT(!answer.found);
     }},
    {"an expired counter counts as zero and takes the timing anew",
     [](Contract& contract) {
       put_expired(contract, "shop", "stock", "40");
       const auto answer =
           commit(contract, "shop", {Op::add("stock", 2, smallest, largest, {.expires_in = ticks(9)})});
       EXPECT_EQ(answer.counters, std::vector<std::int64_t>{2});
       EXPECT(get(contract, "shop", "stock").value_or(Record{}).expires.has_value());
     }},
    {"an expired record that is no number does not refuse an add",
     [](Contract& contract) {
       put_expired(contract, "shop", "stock", "ten");
       EXPECT_EQ(commit(contract, "shop", {Op::add("stock", 2)}).counters, std::vector<std::int64_t>{2});
     }},
    {"a replace without an expiry clears it",
     [](Contract& contract) {
       const auto first = put(contract, "shop/ann", "a", "1", {.expires_in = ticks(4)});
       apply(contract, "shop/ann", {Op::replace("a", first, "2")});
       contract.clock().advance(ticks(5));
       const auto record = get(contract, "shop/ann", "a");
       EXPECT_EQ(record.value_or(Record{}).value, "2");
       EXPECT(record && !record->expires);
     }},
    {"a replace with an expiry counts it from its own moment",
     [](Contract& contract) {
       const auto first = put(contract, "shop/ann", "a", "1", {.expires_in = ticks(4)});
       contract.clock().advance(ticks(1));
       apply(contract, "shop/ann", {Op::replace("a", first, "2", {.expires_in = ticks(6)})});
       contract.clock().advance(ticks(4));
       EXPECT(get(contract, "shop/ann", "a").has_value());
       contract.clock().advance(ticks(2));
       EXPECT(!get(contract, "shop/ann", "a"));
     }},
    {"an add to a live counter does not prolong it",
     [](Contract& contract) {
       apply(contract, "shop", {Op::add("stock", 1, smallest, largest, {.expires_in = ticks(4)})});
       contract.clock().advance(ticks(1));
       apply(contract, "shop", {Op::add("stock", 1, smallest, largest, {.expires_in = ticks(90)})});
       contract.clock().advance(ticks(3));
       EXPECT(!get(contract, "shop", "stock"));
     }},
    {"many expired records stay absent while writes go on beside them",
     [](Contract& contract) {
       std::vector<Operation> operations;
       for (int i = 0; i < 200; ++i) {
         operations.push_back(
             Op::insert(fmt::format("k{:03}", i), "v", {.due_in = Duration(0), .expires_in = ticks(1)}));
       }
       apply(contract, "shop/ann", std::move(operations));
       contract.clock().advance(ticks(1));
       for (int i = 0; i < 30; ++i) apply(contract, "shop/ann", {Op::add("count", 1)});
       EXPECT_EQ(keys_of(all_of(contract, "shop/ann")), Keys{"count"});
       EXPECT(due(contract).entries.empty());
       EXPECT(commit(contract, "shop/ann", {Op::insert("k100", "again")}).applied());
     }},
    {"a longest expiry is kept",
     [](Contract& contract) {
       const auto before = storage_now(contract);
       put(contract, "shop/ann", "a", "1", {.expires_in = Duration(limits::duration_us)});
       EXPECT(get(contract, "shop/ann", "a").value_or(Record{}).expires >=
              before + Duration(limits::duration_us));
     }},
};

}  // namespace

std::span<const ContractCase> expiry_cases() { return cases; }

}  // namespace onceward::testing::contract_detail
