#pragma once
#include <onceward/pipeline/runner.hpp>

#include <map>
#include <stop_token>
#include <string>
#include <vector>

namespace onceward {

struct HealthOptions {
  /// Where to look. Empty: everywhere, which needs a storage that lists its partitions
  /// (onceward/storage/partitions.hpp).
  std::vector<std::string> partitions{};
  std::size_t names = 20;  ///< of runs shown for each finding, 0..1000
  std::stop_token stop{};  ///< ends the scan early; `whole` is false then
};

/// How the runs of a storage are.
struct PipelineHealth {
  bool whole = true;     ///< everything was looked at
  std::size_t runs = 0;  ///< all, the ended ones included
  std::map<RunState, std::size_t> states{};
  std::size_t runnable = 0;  ///< unfinished runs whose due time has come
  Duration
      oldest_runnable{};     ///< how long the first of them has been due. It grows where workers are missing
  std::size_t awaiting = 0;  ///< unfinished runs that go on by a signal alone
  /// Unfinished runs whose plan the catalog does not have, "pipeline version": no worker with this catalog
  /// takes them.
  std::map<std::string, std::size_t> unknown_plans{};
  std::size_t corrupt = 0;  ///< records that are not what this version writes
  /// Unfinished runs without a due time that await no signal: nothing will ever go on with them. Always 0.
  std::size_t stuck = 0;
  std::vector<RunName> stuck_runs{};
  std::vector<std::string> corrupt_records{};  ///< "partition: key"
};

/// Reads every run of a storage, in pages, and writes nothing; runs that move meanwhile are counted as they
/// were when their page was read, those of a partition that the storage lists twice are counted twice. It
/// costs a scan: for a page of an operator, not for a probe each second. Errors: those of the storage;
/// wrong_state where it has no list of partitions.
Result<PipelineHealth> check_health(Storage& storage, const PlanCatalog& catalog,
                                    const HealthOptions& options = {});
/// A table for people.
[[nodiscard]] std::string to_text(const PipelineHealth& health);

}  // namespace onceward
