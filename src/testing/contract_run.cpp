#include <onceward/testing/storage_contract.hpp>

#include "testing/contract_harness.hpp"

#include <fmt/format.h>

namespace onceward::testing {
namespace {

constexpr std::size_t most_failures = 20;

}  // namespace

Contract::Contract(const StorageUnderTest& subject) : subject_(subject) {
  take(subject.open_fresh(clock_), "opened", Here::current());
}

void Contract::take(Result<std::unique_ptr<Storage>> opened, std::string_view doing, Here here) {
  if (!opened)
    give_up(fmt::format("{} could not be {}: {}", subject_.name, doing, describe(opened.error())), here);
  if (*opened == nullptr) give_up(fmt::format("{} was {} as a null pointer", subject_.name, doing), here);
  storage_ = std::move(*opened);
}

void Contract::reopen(Here here) {
  storage_.reset();
  take(subject_.reopen(clock_), "opened again", here);
}

bool Contract::expect(bool held, std::string_view what, Here here) {
  if (!held) add_failure(what, here);
  return held;
}

void Contract::add_failure(std::string_view what, Here here) {
  const std::lock_guard lock(mutex_);
  if (failures_.size() == most_failures) return;  // a check in a loop would fill the screen
  failures_.push_back(fmt::format("{}:{}: {}", here.file, here.line, what));
}

void Contract::give_up(std::string_view what, Here here) {
  add_failure(what, here);
  throw contract_detail::GaveUp(failures().back());
}

std::vector<std::string> Contract::failures() const {
  const std::lock_guard lock(mutex_);
  return failures_;
}

std::vector<ContractCase> storage_contract() {
  using namespace contract_detail;
  std::vector<ContractCase> cases;
  for (const auto some : {write_cases(), batch_cases(), counter_cases(), revision_cases(), read_cases(),
                          scan_cases(), expiry_cases(), due_cases(), limit_cases(), durability_cases(),
                          concurrency_cases(), history_cases(), model_cases()}) {
    cases.insert(cases.end(), some.begin(), some.end());
  }
  return cases;
}

ContractOutcome run_case(const ContractCase& contract_case, const StorageUnderTest& subject) {
  if (contract_case.needs.threads && !subject.concurrent) {
    return {.skipped = fmt::format("{} belongs to one thread", subject.name)};
  }
  if (contract_case.needs.reopening && !subject.reopen) {
    return {.skipped = fmt::format("{} is not durable", subject.name)};
  }
  if (contract_case.needs.one_clock && !subject.one_clock) {
    return {.skipped = fmt::format("{} moves its records between clocks", subject.name)};
  }
  ContractOutcome outcome;
  try {
    Contract contract(subject);
    try {
      contract_case.run(contract);
    } catch (const contract_detail::GaveUp&) {
      // its failure is recorded
    } catch (const std::exception& error) {
      contract.add_failure(fmt::format("an exception left the case: {}", error.what()));
    }
    outcome.failures = contract.failures();
  } catch (const std::exception& error) {
    outcome.failures.emplace_back(error.what());
  }
  return outcome;
}

}  // namespace onceward::testing
