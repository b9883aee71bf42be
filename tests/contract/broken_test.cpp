#include <onceward/storage/memory.hpp>
#include <onceward/testing/storage_contract.hpp>

#include "contract/broken_storage.hpp"
#include "support/catch.hpp"

#include <algorithm>

using namespace onceward;
using namespace onceward::testing;

namespace {

/// The cases that a storage fails.
std::vector<std::string> broken_cases(const StorageUnderTest& subject) {
  std::vector<std::string> names;
  for (const auto& contract_case : storage_contract()) {
    if (!run_case(contract_case, subject).failures.empty()) names.emplace_back(contract_case.name);
  }
  return names;
}

StorageUnderTest with(Defect defect) {
  return {.name = "memory with a defect",
          .open_fresh = [defect](const Clock& clock) { return open_broken(defect, clock); }};
}

}  // namespace

TEST_CASE("the storage that carries the defects keeps the contract without one") {
  CHECK(broken_cases(with(Defect::none)).empty());
}

TEST_CASE("the contract catches every defect") {
  for (int i = 1; i <= static_cast<int>(last_defect); ++i) {
    INFO("defect " << i << " of the list in broken_storage.hpp");
    CHECK_FALSE(broken_cases(with(static_cast<Defect>(i))).empty());
  }
}

TEST_CASE("the contract catches a storage that forgets its records when it is closed") {
  const auto fresh = [](const Clock& clock) { return open_memory({.clock = &clock}); };
  CHECK_FALSE(broken_cases({.name = "forgetful", .open_fresh = fresh, .reopen = fresh}).empty());
}

TEST_CASE("a storage that cannot be opened, answers errors or throws fails its cases and stops none") {
  const auto closed = [](const Clock&) -> Result<std::unique_ptr<Storage>> {
    return fail(ErrorCode::unavailable, "no");
  };
  const auto throwing = [](const Clock&) -> Result<std::unique_ptr<Storage>> {
    throw std::runtime_error("no");
  };
  const auto null = [](const Clock&) -> Result<std::unique_ptr<Storage>> {
    return std::unique_ptr<Storage>();
  };
  for (const auto& open :
       {StorageUnderTest::Open(closed), StorageUnderTest::Open(throwing), StorageUnderTest::Open(null)}) {
    CHECK(broken_cases({.name = "shut", .open_fresh = open}).size() >= 60);
  }
}

TEST_CASE("the contract has at least 60 cases, each a sentence of its own") {
  std::vector<std::string_view> names;
  for (const auto& contract_case : storage_contract()) names.push_back(contract_case.name);
  CHECK(names.size() >= 60);
  std::sort(names.begin(), names.end());
  CHECK(std::adjacent_find(names.begin(), names.end()) == names.end());
}
