#include "pipeline/run_state.hpp"
#include "task/views.hpp"

// The only file of this room that knows how a run is stored.
namespace onceward::task_detail {

Result<RunView> decode_run_view(const Record& record) {
  auto run = pipeline_detail::decode_run(record);
  if (!run) return fail(std::move(run).error());
  return pipeline_detail::view_of(*run, {}, record.key, record.due);
}

Result<Operation> push_on(const Record& record) {
  auto run = pipeline_detail::decode_run(record);
  if (!run) return fail(std::move(run).error());
  // Finished steps stay finished; the one that stopped it has its attempts again, under its old token.
  run->state = RunState::running;
  run->attempt = 1;
  run->deaths = 0;
  run->waiting = true;
  return Operation::replace(record.key, record.revision, pipeline_detail::encode(*run),
                            {.due_in = Duration::zero()});
}

}  // namespace onceward::task_detail
