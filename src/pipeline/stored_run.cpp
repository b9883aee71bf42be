#include "pipeline/stored_run.hpp"

#include <fmt/format.h>

namespace onceward::pipeline_detail {

Result<StoredRun> read_run(Storage& storage, const RunName& name) {
  const auto record_key = run_record_key(name.pipeline, name.key);
  auto record = read_one(storage, name.partition, record_key);
  if (!record) return fail(std::move(record).error());
  if (!*record)
    return fail(ErrorCode::not_found, fmt::format("there is no run \"{}\" of pipeline \"{}\" in \"{}\"",
                                                  name.key, name.pipeline, name.partition));
  auto run = decode_run(**record);
  if (!run) return fail(std::move(run).error());
  anchor(*run, **record);
  return StoredRun{**std::move(record), *std::move(run)};
}

}  // namespace onceward::pipeline_detail
