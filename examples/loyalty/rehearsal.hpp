#pragma once
#include "rows.hpp"

#include <onceward/task/task_center.hpp>

#include <memory>
#include <string>
#include <unordered_set>

namespace loyalty {

/// Reports the first row of every shape to a task centre of its own, in memory and with services that grant
/// nothing, so that an expression that cannot be computed on these orders is found before anything is stored.
class Rehearsal {
 public:
  /// Errors: as Campaign::compile and TaskCenter::publish.
  static onceward::Result<Rehearsal> make(const onceward::CampaignDefinition& campaign);
  Rehearsal(Rehearsal&&) noexcept;
  Rehearsal& operator=(Rehearsal&&) noexcept;
  ~Rehearsal();

  /// Errors: as TaskCenter::report.
  onceward::Result<void> play(const CsvRow& row, const RowMapper& mapper);

 private:
  struct Stage;
  explicit Rehearsal(std::unique_ptr<Stage> stage) noexcept;

  std::unique_ptr<Stage> stage_;
  std::unordered_set<std::string> seen_;
  std::string shape_;
};

}  // namespace loyalty
