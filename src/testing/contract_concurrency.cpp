#include "testing/contract_harness.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>

namespace onceward::testing::contract_detail {
namespace {

constexpr ContractNeeds threads{.threads = true};
constexpr std::size_t many = 8;

constexpr ContractCase cases[] = {
    {"of many threads that insert one key exactly one wins",
     [](Contract& contract) {
       for (int round = 0; round < 20; ++round) {
         const auto key = fmt::format("claim{}", round);
         std::atomic<std::size_t> winners = 0;
         std::atomic<std::size_t> winner = many;
         run_threads(contract, many, [&](std::size_t index) {
           const auto answer = commit(contract, "shop/ann", {Op::insert(key, std::to_string(index))});
           if (answer.applied()) {
             ++winners;
             winner = index;
           } else {
             EXPECT(answer.found.has_value());
           }
         });
         EXPECT_EQ(winners.load(), 1u);
         EXPECT_EQ(get(contract, "shop/ann", key).value_or(Record{}).value, std::to_string(winner.load()));
       }
     },
     threads},
    {"the losers of an insertion all find the winner's record",
     [](Contract& contract) {
       for (int round = 0; round < 20; ++round) {
         const auto key = fmt::format("claim{}", round);
         std::mutex mutex;
         std::vector<std::optional<Record>> found;
         run_threads(contract, many, [&](std::size_t index) {
           auto answer = commit(contract, "shop/ann", {Op::insert(key, std::to_string(index))});
           const std::lock_guard lock(mutex);
           if (!answer.applied()) found.push_back(std::move(answer.found));
         });
         const auto there = get(contract, "shop/ann", key);
         EXPECT_EQ(found.size(), many - 1);
         for (const auto& record : found) EXPECT_EQ(record, there);
       }
     },
     threads},
    {"compared replaces of many threads lose no update",
     [](Contract& contract) {
       constexpr int turns = 15;
       put(contract, "shop/ann", "sum", "0");
       run_threads(contract, many, [&](std::size_t) {
         auto seen = get(contract, "shop/ann", "sum").value();
         int done = 0;
         for (int tries = 0; done < turns && tries < turns * 100; ++tries) {
           const auto next = std::to_string(std::stoi(seen.value) + 1);
           auto answer = commit(contract, "shop/ann", {Op::replace("sum", seen.revision, next)});
           if (answer.applied()) {
             seen = {"sum", next, answer.revision, {}, {}};
             ++done;
           } else {
             seen = answer.found.value();
           }
         }
         EXPECT_EQ(done, turns);
       });
       EXPECT_EQ(get(contract, "shop/ann", "sum").value_or(Record{}).value,
                 std::to_string(turns * int{many}));
     },
     threads},
    {"a counter taken from by many threads never oversells",
     [](Contract& contract) {
       constexpr int stock = 50;
       constexpr int tries = 12;
       put(contract, "shop", "stock", std::to_string(stock));
       std::atomic<int> sold = 0;
       run_threads(contract, many, [&](std::size_t) {
         for (int i = 0; i < tries; ++i) {
           const auto answer = commit(contract, "shop", {Op::add("stock", -1, 0)});
           if (!answer.applied()) continue;
           ++sold;
           EXPECT(answer.counters.at(0) >= 0);
         }
       });
       EXPECT_EQ(sold.load(), stock);
       EXPECT_EQ(get(contract, "shop", "stock").value_or(Record{}).value, "0");
     },
     threads},
    {"adds of many threads are each answered another value and lose none",
     [](Contract& contract) {
       constexpr int turns = 20;
       std::mutex mutex;
       std::vector<std::int64_t> answers;
       run_threads(contract, many, [&](std::size_t) {
         for (int i = 0; i < turns; ++i) {
           const auto answer = commit(contract, "shop", {Op::add("count", 1)});
           const std::lock_guard lock(mutex);
           answers.push_back(answer.counters.at(0));
         }
       });
       std::sort(answers.begin(), answers.end());
       std::vector<std::int64_t> wanted;
       for (std::int64_t i = 1; i <= turns * std::int64_t{many}; ++i) wanted.push_back(i);
       EXPECT_EQ(answers, wanted);
     },
     threads},
    {"threads of different partitions do not disturb each other",
     [](Contract& contract) {
       constexpr int turns = 20;
       run_threads(contract, many, [&](std::size_t index) {
         const auto partition = fmt::format("shop/{}", index);
         for (int i = 0; i < turns; ++i) {
           apply(contract, partition, {Op::insert(fmt::format("k{:02}", i), "v"), Op::add("count", 1)});
         }
       });
       for (std::size_t i = 0; i < many; ++i) {
         const auto partition = fmt::format("shop/{}", i);
         EXPECT_EQ(all_of(contract, partition).size(), std::size_t{turns} + 1);
         EXPECT_EQ(get(contract, partition, "count").value_or(Record{}).value, std::to_string(turns));
       }
     },
     threads},
    {"of two batches that each require what the other writes at most one is applied",
     [](Contract& contract) {
       for (int round = 0; round < 30; ++round) {
         const auto left = fmt::format("left{}", round);
         const auto right = fmt::format("right{}", round);
         std::atomic<int> applied = 0;
         run_threads(contract, 2, [&](std::size_t index) {
           const auto& mine = index == 0 ? left : right;
           const auto& other = index == 0 ? right : left;
           const auto answer =
               commit(contract, "shop/ann", {Op::require(other, absent), Op::insert(mine, "v")});
           if (answer.applied()) ++applied;
         });
         EXPECT_EQ(applied.load(), 1);
       }
     },
     threads},
    {"a batch that requires a revision is not applied after that record moved on",
     [](Contract& contract) {
       for (int round = 0; round < 20; ++round) {
         const auto lease = fmt::format("lease{}", round);
         const auto work = fmt::format("work{}", round);
         const auto held = put(contract, "shop/ann", lease, "mine");
         BatchAnswer worker;
         BatchAnswer rival;
         run_threads(contract, 2, [&](std::size_t index) {
           if (index == 0) {
             worker = commit(contract, "shop/ann", {Op::require(lease, held), Op::insert(work, "done")});
           } else {
             rival =
                 commit(contract, "shop/ann", {Op::require(work, absent), Op::replace(lease, held, "taken")});
           }
         });
         EXPECT(worker.applied() != rival.applied());
       }
     },
     threads},
    {"readers never see half a batch",
     [](Contract& contract) {
       constexpr int looks = 60;
       constexpr std::size_t readers = 3;
       // As many names as no storage asks for in one statement.
       std::vector<std::string> between;
       for (int i = 100; i < 400; ++i) between.push_back(fmt::format("m{}", i));
       std::vector<RecordRef> all{{"shop/ann", "a"}};
       for (const auto& key : between) all.push_back({"shop/ann", key});
       all.push_back({"shop/ann", "z"});
       auto revision = apply(contract, "shop/ann", {Op::insert("a", "0"), Op::insert("z", "0")});
       std::atomic<std::size_t> reading = readers;
       run_threads(contract, readers + 1, [&](std::size_t index) {
         // The writer goes on until the last reader has ended, so that a fast storage is read under way too.
         for (int i = 1; index == readers && reading > 0; ++i) {
           const auto value = std::to_string(i);
           const auto answer = commit(contract, "shop/ann",
                                      {Op::replace("a", revision, value), Op::replace("z", revision, value)});
           if (!EXPECT(answer.applied())) return;
           revision = answer.revision;
         }
         if (index == readers) return;
         const std::unique_ptr<std::atomic<std::size_t>, void (*)(std::atomic<std::size_t>*)> end(
             &reading, [](std::atomic<std::size_t>* left) { --*left; });  // also where a call gives up
         for (int i = 0; i < looks; ++i) {
           const auto both = read(contract, i % 2 == 0 ? all : std::vector{all.front(), all.back()});
           const auto& [first, last] = std::tie(both.records.front(), both.records.back());
           const bool whole =
               first && last && first->value == last->value && first->revision == last->revision;
           if (!EXPECT(whole)) return;
           const auto page = scan(contract, "shop/ann");
           if (!EXPECT(page.records.size() == 2 && page.records[0].value == page.records[1].value)) return;
         }
       });
     },
     threads},
    {"the storage's time never runs back in any thread",
     [](Contract& contract) {
       run_threads(contract, many, [&](std::size_t index) {
         const auto partition = fmt::format("shop/{}", index % 2);
         Timestamp last{};
         for (int i = 0; i < 20; ++i) {
           const auto wrote = commit(contract, {{partition, {Op::add("count", 1)}}}).now;
           const auto seen = storage_now(contract);
           EXPECT(wrote >= last);
           EXPECT(seen >= wrote);
           last = seen;
         }
       });
     },
     threads},
    {"due work is taken by one of many workers",
     [](Contract& contract) {
       constexpr int jobs = 40;
       for (int i = 0; i < jobs; ++i) {
         put(contract, fmt::format("shop/{}", i % 5), fmt::format("job{}", i), "open",
             {.due_in = Duration(0)});
       }
       std::atomic<int> taken = 0;
       run_threads(contract, 4, [&](std::size_t) {
         for (int turn = 0; turn < jobs * 5; ++turn) {  // a storage that never ends its pages ends here
           const auto page = due(contract, {}, 5);
           if (page.entries.empty()) return;
           for (const auto& entry : page.entries) {
             const auto answer = commit(contract, entry.partition,
                                        {Op::replace(entry.record.key, entry.record.revision, "taken")});
             if (answer.applied()) ++taken;
           }
         }
       });
       EXPECT_EQ(taken.load(), jobs);
     },
     threads},
    {"spans of many threads over the same partitions keep their counts",
     [](Contract& contract) {
       constexpr int turns = 10;
       run_threads(contract, many, [&](std::size_t) {
         std::vector<Batch> span;
         for (int i = 0; i < 8; ++i)
           span.push_back({fmt::format("shop/{}", i), {Op::add("a", 1), Op::add("b", -1)}});
         for (int i = 0; i < turns; ++i) commit(contract, span);
       });
       for (int i = 0; i < 8; ++i) {
         const auto partition = fmt::format("shop/{}", i);
         EXPECT_EQ(get(contract, partition, "a").value_or(Record{}).value, std::to_string(turns * int{many}));
         EXPECT_EQ(get(contract, partition, "b").value_or(Record{}).value,
                   std::to_string(-turns * int{many}));
       }
     },
     threads},
};

}  // namespace

std::span<const ContractCase> concurrency_cases() { return cases; }

}  // namespace onceward::testing::contract_detail
