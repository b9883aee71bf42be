#include "testing/contract_harness.hpp"

namespace onceward::testing::contract_detail {
namespace {

constexpr ContractCase cases[] = {
    {"revisions grow with every write of a key, also within one microsecond",
     [](Contract& contract) {
       auto last = put(contract, "shop/ann", "order", "0");
       for (int i = 1; i <= 50; ++i) {
         const auto next = apply(contract, "shop/ann", {Op::replace("order", last, std::to_string(i))});
         EXPECT(next > last);
         last = next;
       }
     }},
    {"revisions grow within one span",
     [](Contract& contract) {
       const auto answer =
           commit(contract, std::vector<Batch>(100, Batch{"shop/ann", {Op::add("count", 1)}}));
       for (std::size_t i = 1; i < answer.batches.size(); ++i) {
         EXPECT(answer.batches[i].revision > answer.batches[i - 1].revision);
       }
     }},
    {"revisions grow across removal",
     [](Contract& contract) {
       Revision last = absent;
       for (int i = 0; i < 50; ++i) {
         const auto next = put(contract, "shop/ann", "order", "x");
         EXPECT(next > last);
         last = apply(contract, "shop/ann", {Op::replace("order", next, "y")});
         apply(contract, "shop/ann", {Op::remove("order", last)});
       }
     }},
    {"revisions grow across removal and insertion within one span",
     [](Contract& contract) {
       // The first revision of a span cannot be known before it, so each turn removes what the last one
       // wrote.
       Revision last = put(contract, "shop/ann", "order", "x");
       for (int i = 0; i < 20; ++i) {
         const auto answer = commit(
             contract, {{"shop/ann", {Op::remove("order", last)}}, {"shop/ann", {Op::insert("order", "x")}}});
         EXPECT(answer.batches[1].applied());
         EXPECT(answer.batches[1].revision > last);
         last = answer.batches[1].revision;
       }
     }},
    {"revisions grow when every record of the partition is removed",
     [](Contract& contract) {
       Revision last = absent;
       for (int i = 0; i < 20; ++i) {
         const auto next = apply(contract, "shop/ann", {Op::insert("a", "x"), Op::insert("b", "x")});
         EXPECT(next > last);
         last = next;
         apply(contract, "shop/ann", {Op::remove("a", next), Op::remove("b", next)});
       }
     }},
    {"revisions grow across expiry",
     [](Contract& contract) {
       Revision last = absent;
       for (int i = 0; i < 5; ++i) {
         const auto next = put(contract, "shop/ann", "order", "x", {.expires_in = ticks(1)});
         EXPECT(next > last);
         last = next;
         contract.clock().advance(ticks(1));
       }
     }},
    {"revisions grow across an expiry at the moment of the write",
     [](Contract& contract) {
       Revision last = absent;
       for (int i = 0; i < 20; ++i) {
         const auto next = put(contract, "shop/ann", "order", "x", {.expires_in = Duration(0)});
         EXPECT(next > last);
         last = next;
       }
     }},
    {"revisions are not below the storage's time in microseconds",
     [](Contract& contract) {
       const auto before = storage_now(contract);
       EXPECT(put(contract, "shop/ann", "order", "x") >= before.time_since_epoch().count());
       contract.clock().advance(ticks(1));
       const auto later = storage_now(contract);
       EXPECT(put(contract, "shop/ann", "second", "x") >= later.time_since_epoch().count());
     }},
    {"revisions grow although the clock was set back",
     [](Contract& contract) {
       const auto first = put(contract, "shop/ann", "order", "x");
       const auto gone = put(contract, "shop/ann", "gone", "x");
       apply(contract, "shop/ann", {Op::remove("gone", gone)});
       contract.clock().advance(ticks(-5));
       EXPECT(apply(contract, "shop/ann", {Op::replace("order", first, "y")}) > first);
       EXPECT(put(contract, "shop/ann", "gone", "y") > gone);
     },
     {.one_clock = true}},
    {"a refused write does not change the revision",
     [](Contract& contract) {
       const auto first = put(contract, "shop/ann", "order", "x");
       EXPECT(!commit(contract, "shop/ann", {Op::replace("order", first + 9, "y")}).applied());
       EXPECT(commit(contract, "shop/ann", {Op::require("order", first)}).applied());
     }},
    {"a revision that was removed is no key to its successor",
     [](Contract& contract) {
       const auto first = put(contract, "shop/ann", "order", "x");
       apply(contract, "shop/ann", {Op::remove("order", first)});
       put(contract, "shop/ann", "order", "x");
       expect_refused(contract, "shop/ann", {Op::replace("order", first, "stale")}, 0);
       expect_refused(contract, "shop/ann", {Op::remove("order", first)}, 0);
     }},
};

}  // namespace

std::span<const ContractCase> revision_cases() { return cases; }

}  // namespace onceward::testing::contract_detail
