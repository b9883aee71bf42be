#include <onceward/core/digest.hpp>
#include <onceward/core/ids.hpp>
#include <onceward/pipeline/runner.hpp>

#include "pipeline/driver.hpp"
#include "pipeline/runner_state.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <array>
#include <utility>

namespace onceward {

using pipeline_detail::Held;

namespace {

constexpr std::size_t token_digits = 32;

}  // namespace

std::string run_record_key(std::string_view pipeline, std::string_view key) {
  std::string record_key(pipeline_detail::run_prefix);
  record_key.append(pipeline).append("/").append(key);
  return record_key;
}

std::string step_token(std::string_view name_space, std::string_view pipeline, std::string_view partition,
                       std::string_view run_key, std::string_view step_id, std::string_view act) {
  // Each part is preceded by its length, so that no two lists of parts make one text.
  Sha256 hash;
  for (const auto part : {name_space, pipeline, partition, run_key, step_id, act}) {
    std::array<char, 24> length;
    auto* const end = std::to_chars(length.data(), length.data() + length.size() - 1, part.size()).ptr;
    *end = ':';
    hash.update({length.data(), static_cast<std::size_t>(end - length.data()) + 1});
    hash.update(part);
  }
  return to_hex(hash.finish(), token_digits);
}

Runner::Runner(Storage& storage, const PlanCatalog& catalog, RunnerOptions options)
    : state_(std::make_unique<State>(storage, catalog, std::move(options))) {}

Runner::~Runner() { stop_workers(); }

Result<void> Runner::State::drive(std::vector<Held*> runs, const std::stop_token& stop) {
  for (std::size_t first = 0; first < runs.size(); first += options.span) {
    const auto some = std::span(runs).subspan(first, std::min(options.span, runs.size() - first));
    auto driven = driver.drive(some, stop);
    // Also where it failed: a neighbour's storage error takes nothing from what is recorded.
    tell(some);
    if (!driven) return driven;
  }
  return {};
}

PreparedRun::PreparedRun(Operation write, std::shared_ptr<Held> held) noexcept
    : insert(std::move(write)), held_(std::move(held)) {}

RunState PreparedRun::state() const noexcept { return held_->state(); }

RunView PreparedRun::view() const { return held_->view(); }

const std::string& PreparedRun::partition() const noexcept { return held_->partition; }

Result<PreparedRun> Runner::prepare(const Plan& plan, std::string partition, std::string key,
                                    Value input) const {
  auto complete = pipeline_detail::complete_input(plan.definition(), std::move(input));
  if (!complete) return fail(std::move(complete).error());
  if (plan.compiled().has_rows && !state_->options.transactions)
    return fail(ErrorCode::invalid_argument,
                fmt::format("the pipeline \"{}\" has tx steps; give RunnerOptions::transactions",
                            plan.definition().id));
  auto record_key = run_record_key(plan.definition().id, key);
  if (key.empty() || record_key.size() > limits::key_bytes) {
    return fail(
        ErrorCode::invalid_argument,
        fmt::format("the run key of pipeline \"{}\" has {} bytes; it needs 1 to {}", plan.definition().id,
                    key.size(), limits::key_bytes - (record_key.size() - key.size())));
  }
  auto held = std::make_shared<Held>(
      Held{plan, pipeline_detail::begin_run(plan.compiled(), plan.sha256(), *std::move(complete)),
           std::move(partition), std::move(key), std::move(record_key)});
  held->run.owner = state_->driver.new_owner();
  if (const auto& serial = plan.compiled().serial_by) {
    const auto value = serial->evaluate(held->run.input);
    if (!value) return fail(value.error());
    held->run.turn = value->to_json();
    if (held->run.turn.size() + plan.definition().id.size() + 8 > limits::key_bytes)
      return fail(ErrorCode::invalid_argument, "the value of serial-by is too long");
  }
  held->advance_to_calls();
  auto insert = state_->driver.write_of(*held);
  if (insert.value.size() > pipeline_detail::running_bytes) {
    return fail(
        ErrorCode::invalid_argument,
        fmt::format("the run \"{}\" of pipeline \"{}\" needs a record of {} bytes to begin with; its "
                    "input, and what it sets, may take {}",
                    held->key, plan.definition().id, insert.value.size(), pipeline_detail::running_bytes));
  }
  return PreparedRun(std::move(insert), std::move(held));
}

Result<void> Runner::drive(std::span<PreparedRun> runs, std::span<const Revision> revisions) {
  std::vector<Held*> held;
  held.reserve(runs.size());
  for (std::size_t i = 0; i < runs.size(); ++i) {
    held.push_back(runs[i].held_.get());
    held.back()->revision = revisions[i];
    // A first revision is the storage's time of the write, or a little more.
    held.back()->hear(Timestamp(Duration(revisions[i])));
    anchor(held.back()->run, held.back()->now);
  }
  return state_->drive(std::move(held), {});
}

Result<RunView> Runner::start(const Plan& plan, std::string_view partition, std::string_view key,
                              const Value& input) {
  const auto& definition = plan.definition();
  if (!state_->catalog.find(definition.id, definition.version, plan.sha256())) {
    return fail(
        ErrorCode::invalid_argument,
        fmt::format("the plan \"{}\" version \"{}\" is not in the runner's catalog: nobody could go on "
                    "with its run; add it there",
                    definition.id, definition.version));
  }
  auto prepared = prepare(plan, std::string(partition), std::string(key), input);
  if (!prepared) return fail(std::move(prepared).error());
  auto& held = *prepared->held_;
  const Batch batch{held.partition, {prepared->insert}};
  auto written = state_->storage.commit(std::span(&batch, 1));
  std::optional<Record> found;
  if (written) {
    auto& answer = written->batches[0];
    found = std::move(answer.found);
    if (answer.applied()) state_->driver.applied(held, answer, written->now);
  } else if (retry_advice(written.error().code) == RetryAdvice::read_back) {
    auto stored = read_one(state_->storage, partition, held.record_key);
    if (!stored || !*stored) return fail(std::move(written).error());
    // Its answer was lost, not the write: what stands there with this owner is this start's.
    const auto other = pipeline_detail::decode_run(**stored);
    if (!other || other->owner != held.run.owner)
      found = *std::move(stored);
    else
      state_->driver.settle(held, *stored);
  } else {
    return fail(std::move(written).error());
  }
  if (!found) {
    if (auto driven = state_->drive({&held}, {}); !driven) return fail(std::move(driven).error());
    return held.view();
  }
  const auto other = pipeline_detail::decode_run(*found);
  if (!other) return fail(other.error());
  if (other->input != held.run.input) {
    return fail(
        ErrorCode::conflict,
        fmt::format("the run \"{}\" of pipeline \"{}\" was started with another input; nothing was done", key,
                    plan.definition().id));
  }
  return view_of(*other, std::string(partition), std::string(key), found->due);
}

Result<RunView> Runner::start(const Plan& plan, std::string_view partition, const Value& input) {
  auto complete = pipeline_detail::complete_input(plan.definition(), input);
  if (!complete) return fail(std::move(complete).error());
  const auto key = plan.key_of(*complete);
  if (!key) return fail(key.error());
  return start(plan, partition, *key, *complete);
}

void Runner::leave(PreparedRun& run) const {
  auto& held = *run.held_;
  state_->driver.release_all(std::array{&held});
  run.insert = state_->driver.write_of(held);
}

Result<void> Runner::enqueue(Storage& enlisted, const Plan& plan, std::string partition, std::string key,
                             Value input) {
  auto prepared = prepare(plan, std::move(partition), std::move(key), std::move(input));
  if (!prepared) return fail(std::move(prepared).error());
  leave(*prepared);
  auto& held = *prepared->held_;
  const auto written = commit_one(enlisted, {held.partition, {std::move(prepared->insert)}});
  if (!written) return fail(written.error());
  if (written->applied()) return {};
  const auto other = pipeline_detail::decode_run(*written->found);
  if (!other) return fail(other.error());
  if (other->input == held.run.input) return {};
  return fail(ErrorCode::conflict,
              fmt::format("the run \"{}\" of pipeline \"{}\" was started with another input; "
                          "nothing was done",
                          held.key, plan.definition().id));
}

Result<std::optional<RunView>> Runner::find(std::string_view pipeline, std::string_view partition,
                                            std::string_view key) {
  auto record = read_one(state_->storage, partition, run_record_key(pipeline, key));
  if (!record) return fail(std::move(record).error());
  if (!*record) return std::optional<RunView>();
  auto run = pipeline_detail::decode_run(**record);
  if (!run) return fail(std::move(run).error());
  return std::optional(view_of(*run, std::string(partition), std::string(key), (*record)->due));
}

}  // namespace onceward
