#include "testing/contract_harness.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace onceward::testing::contract_detail {
namespace {

void put_all(Contract& contract, const std::string& partition, const Keys& keys) {
  for (const auto& key : keys) put(contract, partition, key, "v");
}

constexpr ContractCase cases[] = {
    {"a scan of an empty partition is an empty page at its end",
     [](Contract& contract) {
       const auto page = scan(contract, "nowhere");
       EXPECT(page.records.empty());
       EXPECT(page.cursor.empty());
     }},
    {"a scan gives whole records",
     [](Contract& contract) {
       put(contract, "shop/ann", "a", "1", {.due_in = ticks(5), .expires_in = ticks(50)});
       const auto page = scan(contract, "shop/ann");
       EXPECT_EQ(page.records, std::vector<Record>{get(contract, "shop/ann", "a").value_or(Record{})});
     }},
    {"a scan is in byte order of the key, whatever the order of the writes",
     [](Contract& contract) {
       Keys keys{"b",    "a", "B",   "aa",  "a\x7f", "a\x80", "\xff",
                 "\x01", "z", "a b", "a-b", "10",    "9",     "\xc3\xa4"};
       keys.push_back(std::string(1, '\0'));
       keys.push_back(std::string("a\0", 2));
       put_all(contract, "shop/ann", keys);
       std::sort(keys.begin(), keys.end());
       EXPECT_EQ(keys_of(all_of(contract, "shop/ann")), keys);
     }},
    {"a scan gives only keys that begin with its prefix",
     [](Contract& contract) {
       put_all(contract, "shop/ann", {"run", "run:", "run:1", "run:2", "run;", "ruN:3", "task:1", "ru"});
       EXPECT_EQ(keys_of(scan(contract, "shop/ann", "run:").records), Keys{"run:", "run:1", "run:2"});
       EXPECT_EQ(keys_of(scan(contract, "shop/ann", "task:1").records), Keys{"task:1"});
       EXPECT(scan(contract, "shop/ann", "task:1x").records.empty());
     }},
    {"a prefix is bytes, not a pattern",
     [](Contract& contract) {
       put_all(contract, "shop/ann", {"a%b", "axb", "a_b", "a*b", "a?b", "a[b", "a\\b", "A%B"});
       EXPECT_EQ(keys_of(scan(contract, "shop/ann", "a%").records), Keys{"a%b"});
       EXPECT_EQ(keys_of(scan(contract, "shop/ann", "a_").records), Keys{"a_b"});
       EXPECT_EQ(keys_of(scan(contract, "shop/ann", "a*").records), Keys{"a*b"});
       EXPECT_EQ(keys_of(scan(contract, "shop/ann", "a[").records), Keys{"a[b"});
       EXPECT_EQ(keys_of(scan(contract, "shop/ann", "a\\").records), Keys{"a\\b"});
     }},
    {"a prefix may end in or consist of the largest byte",
     [](Contract& contract) {
       put_all(contract, "shop/ann",
               {"a", "a\xff", "a\xff\x01", "a\xff\xff", "b", "\xff", "\xff\xff",
                "\xff\xff"
                "a"});
       EXPECT_EQ(keys_of(scan(contract, "shop/ann", "a\xff").records),
                 Keys{"a\xff", "a\xff\x01", "a\xff\xff"});
       EXPECT_EQ(keys_of(scan(contract, "shop/ann", "\xff").records), Keys{"\xff", "\xff\xff",
                                                                           "\xff\xff"
                                                                           "a"});
       EXPECT_EQ(keys_of(scan(contract, "shop/ann", "\xff\xff").records), Keys{"\xff\xff",
                                                                               "\xff\xff"
                                                                               "a"});
     }},
    {"a prefix may hold zero bytes",
     [](Contract& contract) {
       const std::string zero(1, '\0');
       put_all(contract, "shop/ann", {"a", "a" + zero, "a" + zero + "b", "ab", zero});
       EXPECT_EQ(keys_of(scan(contract, "shop/ann", "a" + zero).records), Keys{"a" + zero, "a" + zero + "b"});
       EXPECT_EQ(keys_of(scan(contract, "shop/ann", zero).records), Keys{zero});
     }},
    {"pages of a scan continue after the cursor and miss nothing",
     [](Contract& contract) {
       Keys keys;
       for (int i = 0; i < 25; ++i) keys.push_back(fmt::format("k{:02}", i));
       put_all(contract, "shop/ann", keys);
       Keys seen;
       std::string cursor;
       std::vector<std::size_t> sizes;
       do {
         const auto page = scan(contract, "shop/ann", "k", cursor, 10);
         for (const auto& key : keys_of(page.records)) seen.push_back(key);
         sizes.push_back(page.records.size());
         cursor = page.cursor;
       } while (!cursor.empty() && sizes.size() < 10);
       EXPECT_EQ(seen, keys);
       EXPECT_EQ(sizes, std::vector<std::size_t>{10, 10, 5});
     }},
    {"a page that ends with the last record has no cursor",
     [](Contract& contract) {
       put_all(contract, "shop/ann", {"a1", "a2", "b1"});
       const auto page = scan(contract, "shop/ann", "a", {}, 2);
       EXPECT_EQ(page.records.size(), 2u);
       EXPECT(page.cursor.empty());
     }},
    {"pages of binary keys miss nothing",
     [](Contract& contract) {
       Keys keys;
       for (int i = 0; i < 256; i += 5) keys.push_back({static_cast<char>(i), '\xff', '\0'});
       std::reverse(keys.begin(), keys.end());
       put_all(contract, "shop/ann", keys);
       std::sort(keys.begin(), keys.end());
       Keys seen;
       std::string cursor;
       do {
         const auto page = scan(contract, "shop/ann", {}, cursor, 1);
         for (const auto& key : keys_of(page.records)) seen.push_back(key);
         cursor = page.cursor;
       } while (!cursor.empty() && seen.size() <= keys.size());
       EXPECT_EQ(seen, keys);
     }},
    {"a cursor holds when its record is removed and sees what came after it",
     [](Contract& contract) {
       put_all(contract, "shop/ann", {"a", "b", "d"});
       const auto first = scan(contract, "shop/ann", {}, {}, 2);
       apply(contract, "shop/ann", {Op::remove("b", first.records.at(1).revision), Op::insert("c", "v")});
       put(contract, "shop/ann", "aa", "v");
       EXPECT_EQ(keys_of(scan(contract, "shop/ann", {}, first.cursor, 10).records), Keys{"c", "d"});
     }},
    {"a cursor before the prefix begins at the prefix, one behind it ends",
     [](Contract& contract) {
       put_all(contract, "shop/ann", {"a", "b1", "b2", "c"});
       EXPECT_EQ(keys_of(scan(contract, "shop/ann", "b", "a", 10).records), Keys{"b1", "b2"});
       EXPECT_EQ(keys_of(scan(contract, "shop/ann", "b", "b", 10).records), Keys{"b1", "b2"});
       EXPECT_EQ(keys_of(scan(contract, "shop/ann", "b", "b1", 10).records), Keys{"b2"});
       const auto behind = scan(contract, "shop/ann", "b", "bz", 10);
       EXPECT(behind.records.empty());
       EXPECT(behind.cursor.empty());
     }},
    {"a scan sees no other partition",
     [](Contract& contract) {
       put_all(contract, "shop/a", {"k1", "k2"});
       put_all(contract, "shop/ab", {"k3"});
       put_all(contract, "shop/", {"k4"});
       EXPECT_EQ(keys_of(all_of(contract, "shop/a")), Keys{"k1", "k2"});
       EXPECT_EQ(keys_of(all_of(contract, "shop/")), Keys{"k4"});
       EXPECT(all_of(contract, "shop").empty());
     }},
    {"a scan gives a page of the largest size",
     [](Contract& contract) {
       std::vector<Operation> operations;
       for (std::size_t i = 0; i < limits::batch_operations; ++i) {
         operations.push_back(Op::insert(fmt::format("k{:05}", i), "v"));
       }
       apply(contract, "shop/ann", std::move(operations));
       const auto page = scan(contract, "shop/ann");
       EXPECT_EQ(page.records.size(), limits::page_records);
       EXPECT(!page.cursor.empty());
       EXPECT_EQ(scan(contract, "shop/ann", {}, page.cursor).records.size(),
                 limits::batch_operations - limits::page_records);
     }},
};

}  // namespace

std::span<const ContractCase> scan_cases() { return cases; }

}  // namespace onceward::testing::contract_detail
