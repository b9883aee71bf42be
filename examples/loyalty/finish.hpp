#pragma once
#include "attention.hpp"
#include "progress.hpp"

#include <onceward/task/task_center.hpp>

#include <cstdint>

namespace loyalty {

/// What was left by others and brought to its end.
struct Finished {
  std::uint64_t taken = 0;          ///< runs taken over
  std::uint64_t unknown_plans = 0;  ///< runs of pipelines that the campaign does not know: they stay
};

/// Works until no reward is on its way, waiting for retries and for the leases of a process that died, and
/// then looks again at the events whose rewards were not settled. Errors: those of the storage, after several
/// tries.
onceward::Result<Finished> finish_runs(onceward::TaskCenter& center, Attention& attention,
                                       Progress& progress);

}  // namespace loyalty
