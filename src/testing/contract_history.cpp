#include "testing/contract_harness.hpp"

#include <fmt/format.h>

#include <atomic>
#include <random>
#include <unordered_set>

namespace onceward::testing::contract_detail {
namespace {

/// One call on the key, with the moments it began and ended by one counter that all threads share.
struct Call {
  std::optional<Operation> write;  ///< none: a read
  bool applied = false;
  Revision revision = absent;
  std::optional<Record> seen;  ///< what a read or a refused write found
  std::size_t begun = 0;
  std::size_t ended = 0;
};

/// Looks for an order of the calls in which each one is explained by those before it, and no call comes
/// before another that had ended when it began (Wing and Gong, 1993). What was tried is remembered by the
/// calls done and the last write, which together say all of the state.
class Order {
 public:
  explicit Order(const std::vector<Call>& calls) : calls_(calls) {}
  [[nodiscard]] bool exists() { return search(0, nobody); }

 private:
  static constexpr std::size_t nobody = 63;

  bool search(std::uint64_t done, std::size_t last_write) {
    if (done == (std::uint64_t{1} << calls_.size()) - 1) return true;
    if (!tried_.insert(done << 6 | last_write).second) return false;
    std::size_t first_end = static_cast<std::size_t>(-1);
    for (std::size_t i = 0; i < calls_.size(); ++i) {
      if ((done >> i & 1) == 0) first_end = std::min(first_end, calls_[i].ended);
    }
    for (std::size_t i = 0; i < calls_.size(); ++i) {
      if ((done >> i & 1) != 0 || calls_[i].begun > first_end) continue;
      const auto state = state_after(last_write);
      if (!explained(calls_[i], state)) continue;
      if (search(done | std::uint64_t{1} << i, calls_[i].applied ? i : last_write)) return true;
    }
    return false;
  }

  [[nodiscard]] std::optional<Record> state_after(std::size_t last_write) const {
    if (last_write == nobody) return std::nullopt;
    const auto& call = calls_[last_write];
    if (call.write->kind == Operation::Kind::remove) return std::nullopt;
    return Record{call.write->key, call.write->value, call.revision, {}, {}};
  }

  [[nodiscard]] static bool explained(const Call& call, const std::optional<Record>& state) {
    if (!call.write) return call.seen == state;
    const bool holds = call.write->kind == Operation::Kind::insert
                           ? !state.has_value()
                           : state && state->revision == call.write->expected;
    if (holds != call.applied) return false;
    return call.applied ? !state || call.revision > state->revision : call.seen == state;
  }

  const std::vector<Call>& calls_;
  std::unordered_set<std::uint64_t> tried_;
};

/// A call that suits what this thread knows of the key, so that every kind is both applied and refused.
Call random_call(Contract& contract, const std::string& key, std::mt19937& dice, Revision& known,
                 std::atomic<std::size_t>& moment, std::string value) {
  Call call;
  const auto kind = dice() % 6;
  if (kind < 2) call.write = Op::insert(key, std::move(value));
  if ((kind == 2 || kind == 3) && known > absent) call.write = Op::replace(key, known, std::move(value));
  if (kind == 4 && known > absent) call.write = Op::remove(key, known);
  call.begun = moment++;
  if (call.write) {
    auto answer = commit(contract, "shop/ann", {*call.write});
    call.applied = answer.applied();
    call.revision = answer.revision;
    call.seen = std::move(answer.found);
  } else {
    call.seen = get(contract, "shop/ann", key);
  }
  call.ended = moment++;
  if (call.applied) known = call.revision;
  if (call.seen) known = call.seen->revision;
  return call;
}

void histories(Contract& contract, std::size_t threads, std::size_t turns, std::size_t rounds) {
  for (std::size_t round = 0; round < rounds; ++round) {
    const auto key = fmt::format("key{}", round);
    std::atomic<std::size_t> moment = 0;
    std::vector<std::vector<Call>> of_thread(threads);
    run_threads(contract, threads, [&](std::size_t index) {
      std::mt19937 dice(static_cast<unsigned>(round * 100 + index));
      Revision known = absent;
      for (std::size_t i = 0; i < turns; ++i) {
        of_thread[index].push_back(
            random_call(contract, key, dice, known, moment, fmt::format("{}/{}", index, i)));
      }
    });
    std::vector<Call> calls;
    for (auto& some : of_thread) std::move(some.begin(), some.end(), std::back_inserter(calls));
    if (!contract.expect(Order(calls).exists(),
                         fmt::format("no order of the calls explains the answers of round {}", round))) {
      return;
    }
  }
}

constexpr ContractCase cases[] = {
    {"calls of one thread on one key are explained by their order",
     [](Contract& contract) { histories(contract, 1, 40, 10); }},
    {"calls of many threads on one key are explained by some order of them",
     [](Contract& contract) { histories(contract, 6, 8, 40); },
     {.threads = true}},
};

}  // namespace

std::span<const ContractCase> history_cases() { return cases; }

}  // namespace onceward::testing::contract_detail
