#pragma once
#include <onceward/pipeline/plan.hpp>

#include <map>
#include <memory>

namespace onceward::pipeline_detail {

/// A template as it is live. Immutable once it is shown.
struct Live {
  std::optional<Plan> active{};
  std::optional<Plan> canary{};
  int canary_percent = 0;
};
using LiveMap = std::map<std::string, std::shared_ptr<const Live>, std::less<>>;

inline bool is_version(const std::optional<Plan>& plan, std::string_view version) {
  return plan && plan->definition().version == version;
}

inline bool is_same(const std::optional<Plan>& a, const std::optional<Plan>& b) {
  return a ? b && a->sha256() == b->sha256() : !b;
}
inline bool is_same(const Live& a, const Live& b) {
  return is_same(a.active, b.active) && is_same(a.canary, b.canary) && a.canary_percent == b.canary_percent;
}

/// The plan of this version among what is live already: what was compiled once stays good.
inline std::optional<Plan> good(const Live* live, std::string_view version) {
  if (live == nullptr) return std::nullopt;
  if (is_version(live->active, version)) return live->active;
  if (is_version(live->canary, version)) return live->canary;
  return std::nullopt;
}

}  // namespace onceward::pipeline_detail
