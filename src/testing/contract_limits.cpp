#include "testing/contract_harness.hpp"

#include <fmt/format.h>

namespace onceward::testing::contract_detail {
namespace {

/// Expects this operation to be invalid alone, and to spoil a whole span whose other batches are good.
void expect_spoils(Contract& contract, const Operation& operation, Here here = Here::current()) {
  expect_invalid(contract, {{"shop/ann", {operation}}}, here);
  expect_invalid(contract,
                 {{"shop/ann", {Op::insert("good", "1")}}, {"shop/bob", {Op::insert("x", "1"), operation}}},
                 here);
}

template <class T>
void expect_invalid_answer(Contract& contract, const Result<T>& result, Here here = Here::current()) {
  if (!contract.expect(!result.has_value(), "the call must be an error, and was answered", here)) return;
  expect_equal(contract, result.error().code, ErrorCode::invalid_argument, "the code of the error", here);
}

constexpr ContractCase cases[] = {
    {"a key of the largest size is kept, a longer one refused with the whole span",
     [](Contract& contract) {
       const std::string key(limits::key_bytes, '\xff');
       put(contract, "shop/ann", key, "v");
       EXPECT(get(contract, "shop/ann", key).has_value());
       EXPECT_EQ(keys_of(scan(contract, "shop/ann", key).records), Keys{key});
       EXPECT(scan(contract, "shop/ann", {}, key).records.empty());
       expect_spoils(contract, Op::insert(key + "x", "v"));
       expect_spoils(contract, Op::require(key + "x", absent));
     }},
    {"keys of the largest size that differ in the last byte are two",
     [](Contract& contract) {
       const std::string stem(limits::key_bytes - 1, 'k');
       put(contract, "shop/ann", stem + "a", "1");
       put(contract, "shop/ann", stem + "b", "2");
       EXPECT_EQ(get(contract, "shop/ann", stem + "a").value_or(Record{}).value, "1");
     }},
    {"an empty key is refused with the whole span",
     [](Contract& contract) {
       expect_spoils(contract, Op::insert("", "v"));
       expect_spoils(contract, Op::add("", 1));
       expect_spoils(contract, Op::require("", absent));
     }},
    {"a value of the largest size is kept, a longer one refused with the whole span",
     [](Contract& contract) {
       const std::string value(limits::value_bytes, '\xee');
       const auto first = put(contract, "shop/ann", "a", value);
       EXPECT_EQ(get(contract, "shop/ann", "a").value_or(Record{}).value, value);
       expect_spoils(contract, Op::insert("b", value + "x"));
       expect_spoils(contract, Op::replace("a", first, value + "x"));
     }},
    {"a partition of the largest size is kept, a longer or empty one refused with the whole span",
     [](Contract& contract) {
       const std::string partition(limits::partition_bytes, '\x80');
       put(contract, partition, "a", "v");
       EXPECT(get(contract, partition, "a").has_value());
       expect_invalid(contract,
                      {{"shop/ann", {Op::insert("a", "v")}}, {partition + "x", {Op::insert("a", "v")}}});
       expect_invalid(contract, {{"shop/ann", {Op::insert("a", "v")}}, {"", {Op::insert("a", "v")}}});
     }},
    {"an empty batch is refused with the whole span",
     [](Contract& contract) {
       expect_invalid(contract, {{"shop/ann", {Op::insert("a", "v")}}, {"shop/bob", {}}});
     }},
    {"a key twice in a batch is refused with the whole span, also among many",
     [](Contract& contract) {
       expect_invalid(contract, {{"shop/bob", {Op::insert("b", "v")}},
                                 {"shop/ann", {Op::require("a", absent), Op::insert("a", "v")}}});
       std::vector<Operation> many;
       for (int i = 0; i < 100; ++i) many.push_back(Op::insert(fmt::format("k{}", i), "v"));
       many.push_back(Op::add("k50", 1));
       expect_invalid(contract, {{"shop/ann", std::move(many)}});
     }},
    {"too many operations in a batch are refused",
     [](Contract& contract) {
       std::vector<Operation> many;
       for (std::size_t i = 0; i <= limits::batch_operations; ++i)
         many.push_back(Op::insert(fmt::format("k{}", i), "v"));
       expect_invalid(contract, {{"shop/ann", std::move(many)}});
     }},
    {"too many batches in a span are refused",
     [](Contract& contract) {
       const std::vector<Batch> many(limits::span_batches + 1, Batch{"shop/ann", {Op::add("count", 1)}});
       expect_invalid_answer(contract, contract.storage().commit(many));
       EXPECT(!get(contract, "shop/ann", "count"));
     }},
    {"negative and endless durations are refused with the whole span",
     [](Contract& contract) {
       expect_spoils(contract, Op::insert("a", "v", {.due_in = Duration(-1)}));
       expect_spoils(contract, Op::insert("a", "v", {.expires_in = Duration(-1)}));
       expect_spoils(contract, Op::insert("a", "v", {.expires_in = Duration(limits::duration_us + 1)}));
       expect_spoils(contract, Op::insert("a", "v", {.due_in = Duration::max()}));
       expect_spoils(contract, Op::add("a", 1, 0, 9, {.due_in = Duration(-1)}));
     }},
    {"replace and remove without a revision are refused with the whole span",
     [](Contract& contract) {
       expect_spoils(contract, Op::replace("a", absent, "v"));
       expect_spoils(contract, Op::remove("a", absent));
       expect_spoils(contract, Op::replace("a", -1, "v"));
     }},
    {"bounds that no number meets are refused with the whole span",
     [](Contract& contract) { expect_spoils(contract, Op::add("a", 1, 5, 4)); }},
    {"a read of too many places, or of a wrong one, is refused",
     [](Contract& contract) {
       const std::vector<RecordRef> many(limits::span_reads + 1, RecordRef{"shop/ann", "a"});
       expect_invalid_answer(contract, contract.storage().read(many));
       const std::string long_key(limits::key_bytes + 1, 'k');
       const std::string long_partition(limits::partition_bytes + 1, 'p');
       for (const auto& place : {RecordRef{"", "a"}, RecordRef{"shop/ann", ""},
                                 RecordRef{"shop/ann", long_key}, RecordRef{long_partition, "a"}}) {
         const std::vector<RecordRef> places{RecordRef{"shop/ann", "a"}, place};
         expect_invalid_answer(contract, contract.storage().read(places));
       }
     }},
    {"a scan of no or too many records, or of a wrong place, is refused",
     [](Contract& contract) {
       auto& storage = contract.storage();
       const std::string long_key(limits::key_bytes + 1, 'k');
       expect_invalid_answer(contract, storage.scan("shop/ann", {}, {}, 0));
       expect_invalid_answer(contract, storage.scan("shop/ann", {}, {}, limits::page_records + 1));
       expect_invalid_answer(contract, storage.scan("", {}, {}, 10));
       expect_invalid_answer(contract,
                             storage.scan(std::string(limits::partition_bytes + 1, 'p'), {}, {}, 10));
       expect_invalid_answer(contract, storage.scan("shop/ann", long_key, {}, 10));
       expect_invalid_answer(contract, storage.scan("shop/ann", {}, long_key, 10));
     }},
    {"due of no or too many records, or of a shard that is not there, is refused",
     [](Contract& contract) {
       auto& storage = contract.storage();
       const std::vector<Shard> beyond{0, storage.shard_count()};
       expect_invalid_answer(contract, storage.due({}, 0));
       expect_invalid_answer(contract, storage.due({}, limits::page_records + 1));
       expect_invalid_answer(contract, storage.due(beyond, 10));
     }},
    {"every partition lies on a shard that is there, and always on the same",
     [](Contract& contract) {
       auto& storage = contract.storage();
       EXPECT(storage.shard_count() >= 1);
       EXPECT(storage.shard_count() <= limits::most_shards);
       for (int i = 0; i < 1000; ++i) {
         const auto name = fmt::format("shop/{}", i);
         EXPECT(storage.shard_of(name) < storage.shard_count());
         EXPECT_EQ(storage.shard_of(name), storage.shard_of(std::string(name)));
       }
     }},
};

}  // namespace

std::span<const ContractCase> limit_cases() { return cases; }

}  // namespace onceward::testing::contract_detail
