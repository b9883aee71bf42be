#pragma once
#include <onceward/expr/value.hpp>
#include <onceward/idempotency/policy.hpp>

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace onceward::guard_detail {

/// Policies that change while calls run: fields of an operation laid over what its calls bring along.
/// Safe from any thread; a call without changes takes no lock.
class PolicyBook {
 public:
  explicit PolicyBook(const std::map<std::string, Storage*>& storages) : storages_(storages) {}

  /// Makes a policy known, so that changes that do not fit it are refused.
  void know(const std::shared_ptr<const Policy>& base, std::vector<std::string> paths);
  Result<void> override_policy(std::string_view operation, const Value& fields);
  /// Whether any operation's is changed.
  [[nodiscard]] bool any() const noexcept { return any_.load(std::memory_order_acquire); }
  /// The policy with its operation's changes; itself where there are none, or they do not fit it.
  [[nodiscard]] std::shared_ptr<const Policy> effective(const std::shared_ptr<const Policy>& base);

 private:
  using Pair = std::pair<std::shared_ptr<const Policy>, std::shared_ptr<const Policy>>;
  struct Known {
    std::weak_ptr<const Policy> base;
    std::vector<std::string> paths;  ///< what fingerprint_without may name
  };
  struct Change {
    Value fields;
    std::vector<Pair> made;  ///< base, and what became of it
  };
  [[nodiscard]] Result<Policy> changed(const Policy& base, const Value& fields) const;

  const std::map<std::string, Storage*>& storages_;
  std::atomic<bool> any_{false};
  std::mutex mutex_;
  std::map<std::string, Change, std::less<>> changes_;
  std::multimap<std::string, Known, std::less<>> known_;
};

}  // namespace onceward::guard_detail
