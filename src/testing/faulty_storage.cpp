#include <onceward/testing/faulty_storage.hpp>

#include <string>

namespace onceward::testing {
namespace {

constexpr std::array<std::string_view, 4> names = {"commit", "read", "scan", "due"};

}  // namespace

void FaultyStorage::fail_calls(Call call, Fault fault, ErrorCode code, std::size_t count, std::size_t skip) {
  const std::lock_guard lock(mutex_);
  rules_.push_back({call, fault, code, count, skip});
}

void FaultyStorage::heal() {
  const std::lock_guard lock(mutex_);
  rules_.clear();
}

void FaultyStorage::on_call(std::function<void(std::string_view)> hook) {
  const std::lock_guard lock(mutex_);
  hook_ = std::move(hook);
}

std::size_t FaultyStorage::calls(Call call) const {
  const std::lock_guard lock(mutex_);
  return calls_[static_cast<std::size_t>(call)];
}

std::optional<FaultyStorage::Rule> FaultyStorage::next_rule(Call call) {
  const std::lock_guard lock(mutex_);
  ++calls_[static_cast<std::size_t>(call)];
  for (auto& rule : rules_) {
    if (rule.call != call || rule.count == 0) continue;
    if (rule.skip > 0) {
      --rule.skip;
      return std::nullopt;
    }
    --rule.count;
    return rule;
  }
  return std::nullopt;
}

void FaultyStorage::reach(Call call, std::string_view side) {
  std::function<void(std::string_view)> hook;
  {
    const std::lock_guard lock(mutex_);
    hook = hook_;
  }
  if (hook) hook(std::string(names[static_cast<std::size_t>(call)]).append(side));
}

template <class Work>
auto FaultyStorage::pass(Call call, const Work& work) -> decltype(work()) {
  const auto rule = next_rule(call);
  reach(call, ".before");
  if (rule && rule->fault == Fault::before)
    return fail(rule->code, "a fault the test asked for, before the call");
  auto answer = work();
  reach(call, ".after");
  if (rule) return fail(rule->code, "a fault the test asked for, after the call");
  return answer;
}

Result<CommitAnswer> FaultyStorage::commit(std::span<const Batch> batches) {
  return pass(Call::commit, [&] { return inner_.commit(batches); });
}
Result<ReadAnswer> FaultyStorage::read(std::span<const RecordRef> records) {
  return pass(Call::read, [&] { return inner_.read(records); });
}
Result<ScanPage> FaultyStorage::scan(std::string_view partition, std::string_view prefix,
                                     std::string_view cursor, std::size_t limit) {
  return pass(Call::scan, [&] { return inner_.scan(partition, prefix, cursor, limit); });
}
Result<DuePage> FaultyStorage::due(std::span<const Shard> shards, std::size_t limit) {
  return pass(Call::due, [&] { return inner_.due(shards, limit); });
}

}  // namespace onceward::testing
