#include "testing/contract_harness.hpp"

namespace onceward::testing::contract_detail {
namespace {

constexpr ContractCase cases[] = {
    {"insert writes a record that was absent",
     [](Contract& contract) {
       const auto answer = commit(contract, "shop/ann", {Op::insert("order", "paid")});
       EXPECT(answer.applied());
       EXPECT(answer.revision > absent);
       EXPECT(!answer.found);
       EXPECT(answer.counters.empty());
       EXPECT_EQ(get(contract, "shop/ann", "order"), Record{"order", "paid", answer.revision, {}, {}});
     }},
    {"insert of a key that is there is refused with the record found",
     [](Contract& contract) {
       put(contract, "shop/ann", "order", "paid", {.due_in = ticks(5), .expires_in = ticks(50)});
       expect_refused(contract, "shop/ann", {Op::insert("order", "paid again")}, 0);
     }},
    {"insert of the same value over a live record is refused too",
     [](Contract& contract) {
       put(contract, "shop/ann", "order", "paid");
       expect_refused(contract, "shop/ann", {Op::insert("order", "paid")}, 0);
     }},
    {"insert again makes a record that is gone, and is refused with the record found where it is not",
     [](Contract& contract) {
       const auto first = put(contract, "shop/ann", "order", "paid");
       apply(contract, "shop/ann", {Op::remove("order", first)});
       const auto second = apply(contract, "shop/ann", {Op::insert_again("order", first, "paid again")});
       EXPECT(second > first);
       EXPECT_EQ(get(contract, "shop/ann", "order"), Record{"order", "paid again", second, {}, {}});
       expect_refused(contract, "shop/ann", {Op::insert_again("order", second, "thrice")}, 0);
     }},
    {"replace writes over the record of the revision it expects",
     [](Contract& contract) {
       const auto first = put(contract, "shop/ann", "order", "paid");
       const auto second = apply(contract, "shop/ann", {Op::replace("order", first, "sent")});
       EXPECT(second > first);
       EXPECT_EQ(get(contract, "shop/ann", "order"), Record{"order", "sent", second, {}, {}});
     }},
    {"replace of an older revision is refused with the record found",
     [](Contract& contract) {
       const auto first = put(contract, "shop/ann", "order", "paid");
       apply(contract, "shop/ann", {Op::replace("order", first, "sent")});
       expect_refused(contract, "shop/ann", {Op::replace("order", first, "lost")}, 0);
     }},
    {"replace of a revision that never was is refused with the record found",
     [](Contract& contract) {
       const auto first = put(contract, "shop/ann", "order", "paid");
       expect_refused(contract, "shop/ann", {Op::replace("order", first + 1, "lost")}, 0);
     }},
    {"replace of an absent record is refused and finds none",
     [](Contract& contract) {
       expect_refused(contract, "shop/ann", {Op::replace("order", 1, "lost")}, 0);
       EXPECT(!get(contract, "shop/ann", "order"));
     }},
    {"remove makes the record of the revision it expects absent",
     [](Contract& contract) {
       const auto first = put(contract, "shop/ann", "order", "paid");
       EXPECT(commit(contract, "shop/ann", {Op::remove("order", first)}).applied());
       EXPECT(!get(contract, "shop/ann", "order"));
       EXPECT(all_of(contract, "shop/ann").empty());
     }},
    {"remove of an older revision is refused with the record found",
     [](Contract& contract) {
       const auto first = put(contract, "shop/ann", "order", "paid");
       apply(contract, "shop/ann", {Op::replace("order", first, "sent")});
       expect_refused(contract, "shop/ann", {Op::remove("order", first)}, 0);
     }},
    {"remove of an absent record is refused and finds none",
     [](Contract& contract) { expect_refused(contract, "shop/ann", {Op::remove("order", 7)}, 0); }},
    {"a removed record can be inserted again",
     [](Contract& contract) {
       const auto first = put(contract, "shop/ann", "order", "paid");
       apply(contract, "shop/ann", {Op::remove("order", first)});
       const auto second = put(contract, "shop/ann", "order", "paid again");
       EXPECT_EQ(get(contract, "shop/ann", "order"), Record{"order", "paid again", second, {}, {}});
     }},
    {"require of the present revision holds and changes nothing",
     [](Contract& contract) {
       put(contract, "shop/ann", "order", "paid", {.due_in = ticks(5), .expires_in = ticks(50)});
       const auto before = get(contract, "shop/ann", "order");
       EXPECT(commit(contract, "shop/ann", {Op::require("order", before->revision)}).applied());
       EXPECT_EQ(get(contract, "shop/ann", "order"), before);
     }},
    {"require of another revision is refused with the record found",
     [](Contract& contract) {
       const auto first = put(contract, "shop/ann", "order", "paid");
       expect_refused(contract, "shop/ann", {Op::require("order", first + 1)}, 0);
       expect_refused(contract, "shop/ann", {Op::require("order", first - 1)}, 0);
     }},
    {"require of absence holds while there is no record",
     [](Contract& contract) {
       EXPECT(commit(contract, "shop/ann", {Op::require("order", absent)}).applied());
       EXPECT(!get(contract, "shop/ann", "order"));
     }},
    {"require of absence is refused with the record found",
     [](Contract& contract) {
       put(contract, "shop/ann", "order", "paid");
       expect_refused(contract, "shop/ann", {Op::require("order", absent)}, 0);
     }},
    {"require of a revision is refused where the record is absent",
     [](Contract& contract) {
       const auto first = put(contract, "shop/ann", "order", "paid");
       apply(contract, "shop/ann", {Op::remove("order", first)});
       expect_refused(contract, "shop/ann", {Op::require("order", first)}, 0);
     }},
    {"one key in two partitions is two records",
     [](Contract& contract) {
       const auto ann = put(contract, "shop/ann", "order", "hers");
       put(contract, "shop/bob", "order", "his");
       apply(contract, "shop/ann", {Op::remove("order", ann)});
       EXPECT(!get(contract, "shop/ann", "order"));
       EXPECT_EQ(get(contract, "shop/bob", "order").value_or(Record{}).value, "his");
     }},
    {"partition and key do not run into each other",
     [](Contract& contract) {
       put(contract, "a", "bc", "1");
       put(contract, "ab", "c", "2");
       put(contract, "a:b", "c", "3");
       put(contract, "a", "b:c", "4");
       EXPECT_EQ(get(contract, "a", "bc").value_or(Record{}).value, "1");
       EXPECT_EQ(get(contract, "ab", "c").value_or(Record{}).value, "2");
       EXPECT_EQ(get(contract, "a:b", "c").value_or(Record{}).value, "3");
       EXPECT_EQ(keys_of(all_of(contract, "a")), Keys{"b:c", "bc"});
     }},
};

}  // namespace

std::span<const ContractCase> write_cases() { return cases; }

}  // namespace onceward::testing::contract_detail
