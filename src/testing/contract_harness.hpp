#pragma once
#include <onceward/testing/storage_contract.hpp>

#include "testing/contract_show.hpp"

#include <span>
#include <stdexcept>

namespace onceward::testing::contract_detail {

using Op = Operation;
using Keys = std::vector<std::string>;

/// Thrown to leave a case, or a thread of one, whose failure is recorded already.
struct GaveUp : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// The step in which cases measure time.
constexpr Duration ticks(std::int64_t count) noexcept { return std::chrono::seconds(count); }

// Cases name what they work with `contract`; macros only to put the checked text into the failure.
#define EXPECT(...) contract.expect(static_cast<bool>(__VA_ARGS__), #__VA_ARGS__)
#define EXPECT_EQ(actual, ...) expect_equal(contract, actual, __VA_ARGS__, #actual)

template <class A, class B>
bool expect_equal(Contract& contract, const A& actual, const B& wanted, std::string_view what,
                  Here here = Here::current()) {
  if (actual == wanted) return true;
  contract.add_failure(std::string(what) + " is " + show(actual) + ", expected " + show(wanted), here);
  return false;
}

/// The value of an answer; an error ends the case, for nothing after it can be judged.
template <class T>
T answer_of(Contract& contract, Result<T> result, Here here) {
  if (!result) contract.give_up("the storage answered " + describe(result.error()), here);
  return std::move(*result);
}

// The four calls, for the case that goes well.
CommitAnswer commit(Contract& contract, const std::vector<Batch>& batches, Here here = Here::current());
BatchAnswer commit(Contract& contract, std::string partition, std::vector<Operation> operations,
                   Here here = Here::current());
ReadAnswer read(Contract& contract, const std::vector<RecordRef>& records, Here here = Here::current());
std::optional<Record> get(Contract& contract, std::string_view partition, std::string_view key,
                          Here here = Here::current());
ScanPage scan(Contract& contract, std::string_view partition, std::string_view prefix = {},
              std::string_view cursor = {}, std::size_t limit = limits::page_records,
              Here here = Here::current());
DuePage due(Contract& contract, const std::vector<Shard>& shards = {},
            std::size_t limit = limits::page_records, Here here = Here::current());

/// Inserts a record that is known to be absent, and gives its revision.
Revision put(Contract& contract, std::string partition, std::string key, std::string value,
             Timing timing = {}, Here here = Here::current());
/// Commits a batch that must be applied, and gives its revision.
Revision apply(Contract& contract, std::string partition, std::vector<Operation> operations,
               Here here = Here::current());
/// Commits a batch that must be refused at `index` with the record that is there now (or none), and checks
/// that nothing of the partition changed.
void expect_refused(Contract& contract, const std::string& partition, std::vector<Operation> operations,
                    std::size_t index, Here here = Here::current());
/// Expects that this commit is an error of `invalid_argument` and that the partitions are as they were.
void expect_invalid(Contract& contract, const std::vector<Batch>& batches, Here here = Here::current());

/// Every record of a partition, page by page.
std::vector<Record> all_of(Contract& contract, std::string_view partition, Here here = Here::current());
Keys keys_of(const std::vector<Record>& records);
Keys keys_of(const DuePage& page);
/// The storage's time, by a read that finds nothing.
Timestamp storage_now(Contract& contract, Here here = Here::current());
/// As many partitions, each on a shard of its own.
std::vector<std::string> partitions_apart(Contract& contract, std::size_t count);

/// Runs `work(index)` on `count` threads that start together; what a thread throws becomes a failure.
void run_threads(Contract& contract, std::size_t count, const std::function<void(std::size_t)>& work);

// The cases, by what they speak of.
std::span<const ContractCase> write_cases();
std::span<const ContractCase> batch_cases();
std::span<const ContractCase> counter_cases();
std::span<const ContractCase> revision_cases();
std::span<const ContractCase> read_cases();
std::span<const ContractCase> scan_cases();
std::span<const ContractCase> expiry_cases();
std::span<const ContractCase> due_cases();
std::span<const ContractCase> limit_cases();
std::span<const ContractCase> durability_cases();
std::span<const ContractCase> concurrency_cases();
std::span<const ContractCase> history_cases();
std::span<const ContractCase> model_cases();

}  // namespace onceward::testing::contract_detail
