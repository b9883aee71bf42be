#include "testing/contract_harness.hpp"

#include <fmt/format.h>

namespace onceward::testing::contract_detail {
namespace {

std::vector<Operation> inserts(std::size_t count) {
  std::vector<Operation> operations;
  for (std::size_t i = 0; i < count; ++i) operations.push_back(Op::insert(fmt::format("k{:05}", i), "v"));
  return operations;
}

constexpr ContractCase cases[] = {
    {"all writes of a batch happen together and share its revision",
     [](Contract& contract) {
       const auto old = put(contract, "shop/ann", "old", "x");
       const auto kept = put(contract, "shop/ann", "kept", "x");
       const auto answer =
           commit(contract, "shop/ann",
                  {Op::require("missing", absent), Op::insert("new", "1"), Op::replace("kept", kept, "2"),
                   Op::remove("old", old), Op::add("count", 3)});
       EXPECT(answer.applied());
       EXPECT_EQ(answer.counters, std::vector<std::int64_t>{3});
       const auto records = all_of(contract, "shop/ann");
       EXPECT_EQ(keys_of(records), Keys{"count", "kept", "new"});
       for (const auto& record : records) EXPECT_EQ(record.revision, answer.revision);
     }},
    {"a batch whose last operation is refused changes nothing",
     [](Contract& contract) {
       const auto old = put(contract, "shop/ann", "old", "x");
       const auto kept = put(contract, "shop/ann", "kept", "x", {.due_in = ticks(3)});
       put(contract, "shop/ann", "count", "5");
       expect_refused(contract, "shop/ann",
                      {Op::insert("new", "1"), Op::replace("kept", kept, "2"), Op::remove("old", old),
                       Op::add("count", 3), Op::add("fresh", 1), Op::require("nobody", 9)},
                      5);
     }},
    {"a batch of the largest size refused at its last operation changes nothing",
     [](Contract& contract) {
       auto operations = inserts(limits::batch_operations - 1);
       operations.push_back(Op::require("nobody", 9));
       expect_refused(contract, "shop/ann", std::move(operations), limits::batch_operations - 1);
     }},
    {"a batch of the largest size is applied whole",
     [](Contract& contract) {
       apply(contract, "shop/ann", inserts(limits::batch_operations));
       EXPECT_EQ(all_of(contract, "shop/ann").size(), limits::batch_operations);
     }},
    {"of several operations that fail the first is named",
     [](Contract& contract) {
       put(contract, "shop/ann", "b", "there");
       put(contract, "shop/ann", "c", "there");
       expect_refused(contract, "shop/ann",
                      {Op::insert("a", "1"), Op::insert("b", "2"), Op::insert("c", "3")}, 1);
     }},
    {"counters of a batch come in the order of its adds",
     [](Contract& contract) {
       put(contract, "shop/ann", "b", "40");
       const auto answer = commit(contract, "shop/ann",
                                  {Op::add("c", 7), Op::insert("x", ""), Op::add("b", 2), Op::add("a", -1)});
       EXPECT_EQ(answer.counters, std::vector<std::int64_t>{7, 42, -1});
     }},
    {"batches of a span are answered one by one, in order",
     [](Contract& contract) {
       put(contract, "shop/bob", "order", "there");
       const auto answer = commit(contract, {{"shop/ann", {Op::insert("order", "1")}},
                                             {"shop/bob", {Op::insert("order", "2")}},
                                             {"shop/cat", {Op::add("count", 2)}}});
       EXPECT(answer.batches[0].applied());
       EXPECT(!answer.batches[1].applied());
       EXPECT(answer.batches[2].applied());
       EXPECT_EQ(answer.batches[2].counters, std::vector<std::int64_t>{2});
     }},
    {"a refused batch leaves the other batches of its span alone",
     [](Contract& contract) {
       const auto answer = commit(contract, {{"shop/ann", {Op::insert("a", "1"), Op::insert("b", "1")}},
                                             {"shop/ann", {Op::insert("c", "1"), Op::insert("a", "2")}},
                                             {"shop/ann", {Op::insert("d", "1")}}});
       EXPECT(answer.batches[0].applied());
       EXPECT_EQ(answer.batches[1].refused, 1u);
       EXPECT(answer.batches[2].applied());
       EXPECT_EQ(keys_of(all_of(contract, "shop/ann")), Keys{"a", "b", "d"});
     }},
    {"a later batch of a span sees what an earlier one wrote",
     [](Contract& contract) {
       const auto answer = commit(contract, {{"shop/ann", {Op::insert("order", "1")}},
                                             {"shop/ann", {Op::insert("order", "2")}},
                                             {"shop/ann", {Op::require("order", absent)}}});
       EXPECT(answer.batches[0].applied());
       EXPECT_EQ(answer.batches[1].refused, 0u);
       EXPECT_EQ(answer.batches[1].found, Record{"order", "1", answer.batches[0].revision, {}, {}});
       EXPECT_EQ(answer.batches[2].refused, 0u);
     }},
    {"batches of a span count one counter up in order",
     [](Contract& contract) {
       const auto answer =
           commit(contract, std::vector<Batch>(5, Batch{"shop/ann", {Op::add("count", 1, 0, 3)}}));
       for (std::size_t i = 0; i < 3; ++i) {
         EXPECT_EQ(answer.batches[i].counters, std::vector<std::int64_t>{static_cast<std::int64_t>(i) + 1});
       }
       EXPECT(!answer.batches[3].applied());
       EXPECT(!answer.batches[4].applied());
       EXPECT_EQ(get(contract, "shop/ann", "count").value_or(Record{}).value, "3");
     }},
    {"an empty span is answered by nothing and the time",
     [](Contract& contract) {
       const auto before = storage_now(contract);
       const auto answer = commit(contract, std::vector<Batch>{});
       EXPECT(answer.batches.empty());
       EXPECT(answer.now >= before);
     }},
    {"a span of the largest size is applied whole",
     [](Contract& contract) {
       std::vector<Batch> batches;
       for (std::size_t i = 0; i < limits::span_batches; ++i) {
         batches.push_back({fmt::format("shop/{}", i % 64), {Op::insert(fmt::format("k{}", i), "v")}});
       }
       const auto answer = commit(contract, batches);
       std::size_t applied = 0;
       for (const auto& batch : answer.batches) applied += batch.applied() ? 1U : 0U;
       EXPECT_EQ(applied, limits::span_batches);
       EXPECT_EQ(all_of(contract, "shop/7").size(), limits::span_batches / 64);
     }},
    {"in a span of the largest size every second batch may be refused",
     [](Contract& contract) {
       std::vector<Batch> batches;
       for (std::size_t i = 0; i < limits::span_batches; ++i) {
         const auto pair = i / 2;
         batches.push_back(
             {fmt::format("shop/{}", pair % 16),
              {Op::insert(fmt::format("x{}", i), "v"), Op::insert(fmt::format("k{}", pair), "v")}});
       }
       const auto answer = commit(contract, batches);
       std::size_t wrong = 0;
       for (std::size_t i = 0; i < answer.batches.size(); ++i) {
         wrong += answer.batches[i].refused == (i % 2 == 0 ? BatchAnswer::none : std::size_t{1}) ? 0U : 1U;
       }
       EXPECT_EQ(wrong, 0u);
       EXPECT_EQ(all_of(contract, "shop/0").size(), limits::span_batches / 16);
     }},
};

}  // namespace

std::span<const ContractCase> batch_cases() { return cases; }

}  // namespace onceward::testing::contract_detail
