#include "testing/contract_harness.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <latch>
#include <thread>

namespace onceward::testing::contract_detail {

std::string show_text(std::string_view text) {
  constexpr std::size_t most_shown = 64;
  std::string shown = "\"";
  for (const char letter : text.substr(0, most_shown)) {
    if (letter >= ' ' && letter <= '~') {
      shown += letter;
    } else {
      shown += fmt::format("\\x{:02x}", static_cast<unsigned char>(letter));
    }
  }
  if (text.size() > most_shown) return fmt::format("{}...\" ({} bytes)", shown, text.size());
  return shown + "\"";
}

std::string show_record(const Record& record) {
  return fmt::format("{{{} = {} at revision {}, due {}, expires {}}}", show(record.key), show(record.value),
                     record.revision, show(record.due), show(record.expires));
}

CommitAnswer commit(Contract& contract, const std::vector<Batch>& batches, Here here) {
  auto answer = answer_of(contract, contract.storage().commit(batches), here);
  if (answer.batches.size() != batches.size()) {
    contract.give_up(fmt::format("{} batches were answered by {}", batches.size(), answer.batches.size()),
                     here);
  }
  return answer;
}

BatchAnswer commit(Contract& contract, std::string partition, std::vector<Operation> operations, Here here) {
  auto answer = commit(contract, {Batch{std::move(partition), std::move(operations)}}, here);
  return std::move(answer.batches.front());
}

ReadAnswer read(Contract& contract, const std::vector<RecordRef>& records, Here here) {
  auto answer = answer_of(contract, contract.storage().read(records), here);
  if (answer.records.size() != records.size()) {
    contract.give_up(fmt::format("{} places were answered by {}", records.size(), answer.records.size()),
                     here);
  }
  return answer;
}

std::optional<Record> get(Contract& contract, std::string_view partition, std::string_view key, Here here) {
  auto answer = read(contract, {RecordRef{partition, key}}, here);
  return std::move(answer.records.front());
}

ScanPage scan(Contract& contract, std::string_view partition, std::string_view prefix,
              std::string_view cursor, std::size_t limit, Here here) {
  return answer_of(contract, contract.storage().scan(partition, prefix, cursor, limit), here);
}

DuePage due(Contract& contract, const std::vector<Shard>& shards, std::size_t limit, Here here) {
  return answer_of(contract, contract.storage().due(shards, limit), here);
}

Revision put(Contract& contract, std::string partition, std::string key, std::string value, Timing timing,
             Here here) {
  return apply(contract, std::move(partition), {Op::insert(std::move(key), std::move(value), timing)}, here);
}

Revision apply(Contract& contract, std::string partition, std::vector<Operation> operations, Here here) {
  const auto answer = commit(contract, std::move(partition), std::move(operations), here);
  if (!answer.applied()) {
    contract.give_up(fmt::format("the batch was refused at operation {}, where {} was found", answer.refused,
                                 show(answer.found)),
                     here);
  }
  return answer.revision;
}

void expect_refused(Contract& contract, const std::string& partition, std::vector<Operation> operations,
                    std::size_t index, Here here) {
  const auto before = all_of(contract, partition, here);
  const std::string key = operations.at(index).key;
  const auto there = get(contract, partition, key, here);
  const auto answer = commit(contract, partition, std::move(operations), here);
  if (!contract.expect(!answer.applied(), "the batch must be refused, and was applied", here)) return;
  expect_equal(contract, answer.refused, index, "the index of the refused operation", here);
  expect_equal(contract, answer.found, there, "the record found by the refused operation", here);
  contract.expect(answer.counters.empty(), "a refused batch answers no counters", here);
  expect_equal(contract, all_of(contract, partition, here), before, "the partition after a refused batch",
               here);
}

void expect_invalid(Contract& contract, const std::vector<Batch>& batches, Here here) {
  std::vector<std::vector<Record>> before;
  const auto can_be_read = [](const Batch& batch) {
    return !batch.partition.empty() && batch.partition.size() <= limits::partition_bytes;
  };
  for (const auto& batch : batches) {
    if (can_be_read(batch)) before.push_back(all_of(contract, batch.partition, here));
  }
  const auto result = contract.storage().commit(batches);
  if (!contract.expect(!result.has_value(), "the commit must be an error, and was answered", here)) return;
  expect_equal(contract, result.error().code, ErrorCode::invalid_argument, "the code of the error", here);
  contract.expect(!result.error().message.empty(), "the error says in words what is wrong", here);
  std::vector<std::vector<Record>> after;
  for (const auto& batch : batches) {
    if (can_be_read(batch)) after.push_back(all_of(contract, batch.partition, here));
  }
  expect_equal(contract, after, before, "the partitions after an invalid commit", here);
}

std::vector<Record> all_of(Contract& contract, std::string_view partition, Here here) {
  std::vector<Record> records;
  std::string cursor;
  do {
    auto page = scan(contract, partition, {}, cursor, limits::page_records, here);
    if (!page.cursor.empty() && page.cursor <= cursor)
      contract.give_up("the cursor of a scan does not move on", here);
    for (auto& record : page.records) records.push_back(std::move(record));
    cursor = std::move(page.cursor);
  } while (!cursor.empty());
  return records;
}

Keys keys_of(const std::vector<Record>& records) {
  Keys keys;
  for (const auto& record : records) keys.push_back(record.key);
  return keys;
}

Keys keys_of(const DuePage& page) {
  Keys keys;
  for (const auto& entry : page.entries) keys.push_back(entry.record.key);
  return keys;
}

Timestamp storage_now(Contract& contract, Here here) {
  return read(contract, {RecordRef{"the-clock", "nobody-writes-this"}}, here).now;
}

std::vector<std::string> partitions_apart(Contract& contract, std::size_t count) {
  if (contract.storage().shard_count() < count) {
    contract.give_up(fmt::format("{} shards are needed, it has {}", count, contract.storage().shard_count()));
  }
  std::vector<std::string> names;
  std::vector<Shard> taken;
  for (int i = 0; names.size() < count; ++i) {
    auto name = fmt::format("shop/{}", i);
    const Shard shard = contract.storage().shard_of(name);
    if (std::find(taken.begin(), taken.end(), shard) != taken.end()) continue;
    taken.push_back(shard);
    names.push_back(std::move(name));
  }
  return names;
}

void run_threads(Contract& contract, std::size_t count, const std::function<void(std::size_t)>& work) {
  std::latch start(static_cast<std::ptrdiff_t>(count));
  const auto body = [&](std::size_t index) {
    start.arrive_and_wait();
    try {
      work(index);
    } catch (const GaveUp&) {
      // its failure is recorded
    } catch (const std::exception& error) {
      contract.add_failure(fmt::format("an exception left a thread of the case: {}", error.what()));
    }
  };
  std::vector<std::thread> threads;
  threads.reserve(count);
  for (std::size_t i = 0; i < count; ++i) threads.emplace_back(body, i);
  for (auto& thread : threads) thread.join();
}

}  // namespace onceward::testing::contract_detail
