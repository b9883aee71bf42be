#include "testing/contract_harness.hpp"

#include <limits>

namespace onceward::testing::contract_detail {
namespace {

constexpr auto smallest = std::numeric_limits<std::int64_t>::min();
constexpr auto largest = std::numeric_limits<std::int64_t>::max();

constexpr ContractCase cases[] = {
    {"an absent counter counts as zero",
     [](Contract& contract) {
       const auto answer = commit(contract, "shop", {Op::add("stock", 5)});
       EXPECT_EQ(answer.counters, std::vector<std::int64_t>{5});
       EXPECT_EQ(get(contract, "shop", "stock"), Record{"stock", "5", answer.revision, {}, {}});
     }},
    {"an add changes the counter by its delta, up and down",
     [](Contract& contract) {
       apply(contract, "shop", {Op::add("stock", 5)});
       EXPECT_EQ(commit(contract, "shop", {Op::add("stock", -8)}).counters, std::vector<std::int64_t>{-3});
       EXPECT_EQ(commit(contract, "shop", {Op::add("stock", 0)}).counters, std::vector<std::int64_t>{-3});
       EXPECT_EQ(get(contract, "shop", "stock").value_or(Record{}).value, "-3");
     }},
    {"an inserted number is a counter",
     [](Contract& contract) {
       put(contract, "shop", "stock", "40");
       EXPECT_EQ(commit(contract, "shop", {Op::add("stock", 2)}).counters, std::vector<std::int64_t>{42});
     }},
    {"a counter reaches its bounds and no further",
     [](Contract& contract) {
       EXPECT(commit(contract, "shop", {Op::add("stock", 3, 0, 3)}).applied());
       expect_refused(contract, "shop", {Op::add("stock", 1, 0, 3)}, 0);
       EXPECT(commit(contract, "shop", {Op::add("stock", -3, 0, 3)}).applied());
       expect_refused(contract, "shop", {Op::add("stock", -1, 0, 3)}, 0);
       EXPECT_EQ(get(contract, "shop", "stock").value_or(Record{}).value, "0");
     }},
    {"an absent counter that would leave its bounds is refused and stays absent",
     [](Contract& contract) {
       expect_refused(contract, "shop", {Op::add("stock", 4, 0, 3)}, 0);
       EXPECT(!get(contract, "shop", "stock"));
     }},
    {"a counter outside the bounds may only be moved back into them",
     [](Contract& contract) {
       put(contract, "shop", "stock", "10");
       expect_refused(contract, "shop", {Op::add("stock", -1, 0, 5)}, 0);
       EXPECT_EQ(commit(contract, "shop", {Op::add("stock", -7, 0, 5)}).counters,
                 std::vector<std::int64_t>{3});
     }},
    {"a counter holds all 64 bits and does not overflow",
     [](Contract& contract) {
       EXPECT_EQ(commit(contract, "shop", {Op::add("high", largest)}).counters,
                 std::vector<std::int64_t>{largest});
       expect_refused(contract, "shop", {Op::add("high", 1)}, 0);
       EXPECT_EQ(commit(contract, "shop", {Op::add("low", smallest)}).counters,
                 std::vector<std::int64_t>{smallest});
       expect_refused(contract, "shop", {Op::add("low", -1)}, 0);
       EXPECT_EQ(commit(contract, "shop", {Op::add("low", largest)}).counters, std::vector<std::int64_t>{-1});
     }},
    {"large counters lose no digit",
     [](Contract& contract) {
       constexpr std::int64_t beyond_double = (std::int64_t{1} << 53) + 1;
       put(contract, "shop", "stock", std::to_string(beyond_double));
       EXPECT_EQ(commit(contract, "shop", {Op::add("stock", 1)}).counters,
                 std::vector<std::int64_t>{beyond_double + 1});
       EXPECT_EQ(commit(contract, "shop", {Op::add("stock", 1, 0, beyond_double + 2)}).counters,
                 std::vector<std::int64_t>{beyond_double + 2});
       expect_refused(contract, "shop", {Op::add("stock", 1, 0, beyond_double + 2)}, 0);
     }},
    {"an add to a value that is no number is refused with the record found",
     [](Contract& contract) {
       int i = 0;
       for (const auto* value :
            {"", "ten", "12a", "1.5", "+5", " 5", "5 ", "1e3", "0x10", "99999999999999999999"}) {
         const auto key = "stock" + std::to_string(i++);
         put(contract, "shop", key, value);
         expect_refused(contract, "shop", {Op::add(key, 1)}, 0);
       }
     }},
    {"an add gives the record a larger revision",
     [](Contract& contract) {
       const auto first = apply(contract, "shop", {Op::add("stock", 1)});
       const auto second = apply(contract, "shop", {Op::add("stock", 1)});
       EXPECT(second > first);
       EXPECT_EQ(get(contract, "shop", "stock").value_or(Record{}).revision, second);
     }},
    {"the timing of an add counts on creation only",
     [](Contract& contract) {
       const Timing timing{.due_in = ticks(20), .expires_in = ticks(50)};
       apply(contract, "shop", {Op::add("stock", 1, smallest, largest, timing)});
       const auto created = get(contract, "shop", "stock").value_or(Record{});
       EXPECT(created.due.has_value());
       EXPECT(created.expires.has_value());
       apply(contract, "shop", {Op::add("stock", 1, smallest, largest, {.due_in = ticks(90)})});
       apply(contract, "shop", {Op::add("stock", 1)});
       const auto counted = get(contract, "shop", "stock").value_or(Record{});
       EXPECT_EQ(counted.due, created.due);
       EXPECT_EQ(counted.expires, created.expires);
       EXPECT_EQ(counted.value, "3");
     }},
    {"several counters of a batch are all taken or none",
     [](Contract& contract) {
       put(contract, "shop", "a", "1");
       put(contract, "shop", "b", "0");
       expect_refused(contract, "shop", {Op::add("a", -1, 0), Op::add("b", -1, 0)}, 1);
     }},
};

}  // namespace

std::span<const ContractCase> counter_cases() { return cases; }

}  // namespace onceward::testing::contract_detail
