#pragma once
#include "pipeline/run_state.hpp"

namespace onceward::pipeline_detail {

/// A run with the record it was read from; its instants are times.
struct StoredRun {
  Record record;
  Run run;
};
/// Errors: not_found, corrupt, those of the storage.
Result<StoredRun> read_run(Storage& storage, const RunName& name);

}  // namespace onceward::pipeline_detail
