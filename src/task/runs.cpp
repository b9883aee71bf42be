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
  anchor(*run, record);
  if (auto again = begin_again(*run); !again) return fail(std::move(again).error());
  // Whoever wrote it last no longer owns it.
  run->owner.clear();
  run->serial = 0;
  run->due_in = 0;
  return Operation::replace(record.key, record.revision, pipeline_detail::encode(*run),
                            {.due_in = Duration::zero()});
}

}  // namespace onceward::task_detail
