#include "testing/contract_harness.hpp"

#include <fmt/format.h>

namespace onceward::testing::contract_detail {
namespace {

constexpr ContractCase cases[] = {
    {"a read of many partitions keeps the order of its places",
     [](Contract& contract) {
       for (int i = 0; i < 20; ++i) put(contract, fmt::format("shop/{}", i), "name", std::to_string(i));
       std::vector<std::string> partitions;
       for (int i = 19; i >= 0; --i) partitions.push_back(fmt::format("shop/{}", (i * 7) % 20));
       std::vector<RecordRef> places;
       for (const auto& partition : partitions) places.push_back({partition, "name"});
       const auto answer = read(contract, places);
       for (std::size_t i = 0; i < places.size(); ++i) {
         EXPECT_EQ("shop/" + answer.records[i].value_or(Record{}).value, partitions[i]);
       }
     }},
    {"absent places of a read are empty",
     [](Contract& contract) {
       put(contract, "shop/ann", "b", "1");
       const auto answer =
           read(contract, {{"shop/ann", "a"}, {"shop/ann", "b"}, {"nowhere", "b"}, {"shop/ann", "c"}});
       EXPECT(!answer.records[0]);
       EXPECT(answer.records[1].has_value());
       EXPECT(!answer.records[2]);
       EXPECT(!answer.records[3]);
     }},
    {"a read of nothing is answered by the time",
     [](Contract& contract) {
       const auto before = commit(contract, {{"shop/ann", {Op::insert("a", "1")}}}).now;
       const auto answer = read(contract, {});
       EXPECT(answer.records.empty());
       EXPECT(answer.now >= before);
     }},
    {"a place named twice is answered twice",
     [](Contract& contract) {
       put(contract, "shop/ann", "a", "1");
       const auto answer = read(contract, {{"shop/ann", "a"}, {"shop/ann", "a"}});
       EXPECT(answer.records[0].has_value());
       EXPECT_EQ(answer.records[1], answer.records[0]);
     }},
    {"an empty read is answered by nothing and the time",
     [](Contract& contract) {
       const auto before = storage_now(contract);
       const auto answer = read(contract, {});
       EXPECT(answer.records.empty());
       EXPECT(answer.now >= before);
     }},
    {"a read of the largest size is answered whole",
     [](Contract& contract) {
       put(contract, "shop/ann", "a", "1");
       const std::vector<RecordRef> places(limits::span_reads, RecordRef{"shop/ann", "a"});
       const auto answer = read(contract, places);
       EXPECT_EQ(answer.records.front().value_or(Record{}).value, "1");
       EXPECT_EQ(answer.records.back().value_or(Record{}).value, "1");
     }},
    {"a read answers the due time and the expiry counted from the write",
     [](Contract& contract) {
       const auto before = storage_now(contract);
       const Timing timing{.due_in = ticks(20), .expires_in = ticks(50)};
       put(contract, "shop/ann", "a", "1", timing);
       const auto after = storage_now(contract);
       const auto record = get(contract, "shop/ann", "a").value_or(Record{});
       EXPECT(record.due >= before + ticks(20));
       EXPECT(record.due <= after + ticks(20));
       EXPECT(record.expires >= before + ticks(50));
       EXPECT(record.expires <= after + ticks(50));
     }},
    {"the storage's time follows its clock and never runs back",
     [](Contract& contract) {
       auto last = storage_now(contract);
       const auto start = last;
       const auto reach = [&](Timestamp now) {
         EXPECT(now >= last);
         last = now;
       };
       for (int i = 0; i < 5; ++i) {
         reach(commit(contract, {{"shop/ann", {Op::add("count", 1)}}}).now);
         reach(storage_now(contract));
         reach(scan(contract, "shop/ann").now);
         reach(due(contract).now);
         contract.clock().advance(ticks(1));
       }
       EXPECT(storage_now(contract) >= start + ticks(5));
     }},
    {"a read sees every write answered before it",
     [](Contract& contract) {
       for (int i = 1; i <= 50; ++i) {
         apply(contract, "shop/ann", {Op::add("count", 1)});
         EXPECT_EQ(get(contract, "shop/ann", "count").value_or(Record{}).value, std::to_string(i));
         EXPECT_EQ(scan(contract, "shop/ann").records.at(0).value, std::to_string(i));
       }
     }},
    {"a value may hold any bytes",
     [](Contract& contract) {
       std::string bytes;
       for (int i = 0; i < 256; ++i) bytes += static_cast<char>(i);
       const auto first = put(contract, "shop/ann", "a", bytes);
       EXPECT_EQ(get(contract, "shop/ann", "a").value_or(Record{}).value, bytes);
       apply(contract, "shop/ann", {Op::replace("a", first, std::string(3, '\0'))});
       EXPECT_EQ(get(contract, "shop/ann", "a").value_or(Record{}).value, std::string(3, '\0'));
     }},
    {"a value may be empty",
     [](Contract& contract) {
       put(contract, "shop/ann", "a", "");
       const auto record = get(contract, "shop/ann", "a");
       EXPECT(record.has_value());
       EXPECT(record.value_or(Record{}).value.empty());
     }},
    {"keys and partitions may hold any bytes and differ by any",
     [](Contract& contract) {
       const std::string zero(1, '\0');
       const Keys keys{zero,    zero + zero, "a" + zero, "a" + zero + "b",
                       "a",     "\xff",      "\xff\xff", "\xc3\x28",
                       "A",     " ",         "a ",       "*",
                       "a*",    "a?",        "{a}",      "a\n",
                       "a\r\n", "a'b",       "a\"",      "a%",
                       "a_",    "\xc3\xa4",  "a\xcc\x88"};
       for (const auto& key : keys) put(contract, key, key, "value of " + key);
       for (const auto& key : keys) {
         EXPECT_EQ(get(contract, key, key).value_or(Record{}).value, "value of " + key);
         EXPECT_EQ(keys_of(all_of(contract, key)), Keys{key});
       }
     }},
};

}  // namespace

std::span<const ContractCase> read_cases() { return cases; }

}  // namespace onceward::testing::contract_detail
