#pragma once
#include <onceward/testing/storage_contract.hpp>

#include "support/catch.hpp"

/// Every case over a storage: a failure names the case, and in it the file and line.
inline void run_contract(const onceward::testing::StorageUnderTest& subject) {
  for (const auto& contract_case : onceward::testing::storage_contract()) {
    DYNAMIC_SECTION(contract_case.name) {
      const auto outcome = onceward::testing::run_case(contract_case, subject);
      if (!outcome.skipped.empty()) WARN("skipped: " << outcome.skipped);
      for (const auto& failure : outcome.failures) FAIL_CHECK(failure);
      CHECK(outcome.failures.empty());
    }
  }
}
