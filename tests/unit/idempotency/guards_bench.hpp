#pragma once
#include <onceward/idempotency/guards.hpp>
#include <onceward/storage/memory.hpp>
#include <onceward/testing/faulty_storage.hpp>

#include "support/catch.hpp"

#include <chrono>
#include <string>
#include <thread>

/// What the tests of Guards share: a memory storage whose calls can go wrong, and Guards over it.
namespace guards_bench {

using Call = onceward::testing::FaultyStorage::Call;
using Fault = onceward::testing::FaultyStorage::Fault;

/// Waits for what other threads bring about; false where it does not come.
template <class Condition>
bool until(const Condition& condition) {
  const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > limit) return false;
    std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
  return true;
}

inline std::string state_in(onceward::Storage& where, std::string_view operation, std::string_view key) {
  const auto record = onceward::read_one(where, onceward::guard_partition(operation, key), key).value();
  if (!record) return "absent";
  const auto value = onceward::Value::from_json(record->value);
  return value ? *value->find("state")->string() : "unreadable";
}

struct Bench {
  std::unique_ptr<onceward::Storage> memory = onceward::open_memory().value();
  onceward::testing::FaultyStorage storage{*memory};
  onceward::Guards guards;
  onceward::Policy policy{.operation = "b",
                          .lease = std::chrono::seconds(60),
                          .retention = std::chrono::hours(1),
                          .record_limit = std::chrono::milliseconds(100)};

  explicit Bench(onceward::GuardsOptions options = {}) : guards(storage, std::move(options)) {
    guards.start();
  }
  onceward::Guard claim(std::string_view key) { return onceward::Guard::claim(guards, key, policy).value(); }
  /// A caller of another process.
  onceward::Guard rival(std::string_view key, onceward::OnStale stale = onceward::OnStale::in_doubt) {
    auto other = policy;
    other.auto_renew = false;
    other.acknowledge = onceward::Acknowledge::await;
    other.on_busy = onceward::OnBusy::reject;
    other.on_stale = stale;
    return onceward::Guard::claim(*memory, key, other).value();
  }
  std::string state(std::string_view key) { return state_in(*memory, "b", key); }
  [[nodiscard]] std::size_t commits() const { return storage.calls(Call::commit); }
  [[nodiscard]] std::size_t reads() const { return storage.calls(Call::read); }
  [[nodiscard]] std::uint64_t ended(onceward::CallEnd end) const { return guards.figures("b").of(end); }
};

}  // namespace guards_bench
