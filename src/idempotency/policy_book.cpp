#include "idempotency/policy_book.hpp"

#include <onceward/idempotency/wrapping.hpp>

#include <fmt/format.h>

namespace onceward::guard_detail {
namespace {

constexpr std::size_t most_made = 64;  ///< bases of one operation whose changed policies are kept

}  // namespace

void PolicyBook::know(const std::shared_ptr<const Policy>& base, std::vector<std::string> paths) {
  const std::lock_guard lock(mutex_);
  const auto [begin, end] = known_.equal_range(base->operation);
  for (auto place = begin; place != end;)
    place = place->second.base.expired() ? known_.erase(place) : std::next(place);
  known_.emplace(base->operation, Known{base, std::move(paths)});
}

Result<Policy> PolicyBook::changed(const Policy& base, const Value& fields) const {
  Policy policy = base;
  Map rest = *fields.map();
  if (const auto* named = rest.find("storage")) {
    const auto found = named->string() ? storages_.find(*named->string()) : storages_.end();
    if (found == storages_.end())
      return fail(ErrorCode::invalid_argument,
                  "Policy::storage names none of GuardsOptions::storages; mend the name, or give it there");
    policy.storage = found->second;
    std::vector<Map::Entry> others;
    for (const auto& entry : rest) {
      if (entry.first != "storage") others.push_back(entry);
    }
    rest = Map::from_entries(std::move(others));
  }
  return with_overrides(std::move(policy), Value(std::move(rest)));
}

Result<void> PolicyBook::override_policy(std::string_view operation, const Value& fields) {
  const std::lock_guard lock(mutex_);
  if (fields.is_null()) {
    const auto found = changes_.find(operation);
    if (found != changes_.end()) changes_.erase(found);
    any_.store(!changes_.empty(), std::memory_order_release);
    return {};
  }
  if (fields.map() == nullptr) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("the change of operation \"{}\" is {}; give a map of Policy's fields", operation,
                            with_article(fields.kind())));
  }
  Change change{fields, {}};
  const auto [begin, end] = known_.equal_range(operation);
  for (auto place = begin; place != end; ++place) {
    auto base = place->second.base.lock();
    if (!base) continue;
    auto made = changed(*base, fields);
    if (!made) return fail(std::move(made).error());
    if (auto fine = check_paths(made->fingerprint_without, place->second.paths); !fine) return fine;
    change.made.emplace_back(std::move(base), std::make_shared<const Policy>(*std::move(made)));
  }
  if (change.made.empty()) {
    // No call is known: it must at least fit the defaults.
    Policy plain;
    plain.operation = operation;
    if (auto fine = changed(plain, fields); !fine) return fail(std::move(fine).error());
  }
  changes_.insert_or_assign(std::string(operation), std::move(change));
  any_.store(true, std::memory_order_release);
  return {};
}

std::shared_ptr<const Policy> PolicyBook::effective(const std::shared_ptr<const Policy>& base) {
  if (!any()) return base;
  const std::lock_guard lock(mutex_);
  const auto found = changes_.find(base->operation);
  if (found == changes_.end()) return base;
  auto& change = found->second;
  for (const auto& [known, made] : change.made) {
    if (known == base) return made;
  }
  auto policy = changed(*base, change.fields);
  if (!policy) return base;  // it was checked against what was known; this call's own policy is another
  auto made = std::make_shared<const Policy>(*std::move(policy));
  if (change.made.size() < most_made) change.made.emplace_back(base, made);
  return made;
}

}  // namespace onceward::guard_detail
