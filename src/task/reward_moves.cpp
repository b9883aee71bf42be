#include "task/reward_moves.hpp"

#include "task/work.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace onceward::task_detail {
namespace {

Trigger trigger_of(RunState state) noexcept {
  switch (state) {
    case RunState::running: return Trigger::replay;
    case RunState::succeeded: return Trigger::reward_done;
    case RunState::needs_attention: return Trigger::reward_exhausted;
    case RunState::failed:
    case RunState::cancelled: break;
  }
  return Trigger::reward_failed;
}

/// What a reward's run alone says of an instance that has no other.
Status status_of(RunState state) noexcept {
  switch (state) {
    case RunState::running: return Status::rewarding;
    case RunState::succeeded: return Status::rewarded;
    case RunState::needs_attention: return Status::terminated;
    case RunState::failed:
    case RunState::cancelled: break;
  }
  return Status::failed;
}

bool is_end(Status status) noexcept {
  return status == Status::rewarded || status == Status::failed || status == Status::terminated;
}

/// What a run of this pipeline is to a grant, by every version of its task.
struct Kind {
  bool reward = false;
  bool take_back = false;
};
Kind kind_of(const MerchantIndex& merchant, const GrantKey& grant, std::string_view pipeline) {
  Kind kind;
  const auto* versions = merchant.versions_of(grant.task);
  if (versions == nullptr) return kind;
  for (const auto& [name, version] : *versions) {
    const auto& task = *version.task;
    if (grant.stage < 1 || grant.stage > static_cast<std::int64_t>(task.stages.size())) continue;
    const auto& stage = task.stage(grant.stage);
    kind.reward = kind.reward || stage.plan.definition().id == pipeline;
    kind.take_back = kind.take_back || (stage.take_back && stage.take_back->definition().id == pipeline);
  }
  return kind;
}

std::string reason_of(const GrantKey& grant, std::string_view more) {
  return more.empty() ? fmt::format("stage {}", grant.stage) : fmt::format("stage {}: {}", grant.stage, more);
}

/// What one move of a reward's run means for its instance.
Line line_of(const RunMove& move, const GrantKey& grant, const std::optional<Seen>& seen) {
  Line line{move.run.partition, instance_key(grant.task, grant.cycle), trigger_of(move.to)};
  line.actor = move.actor;
  line.reason = move.reason;
  if (!seen) {  // a group's member: his reward is all there is of it here
    line.from = status_of(move.from);
    line.to = status_of(move.to);
    return line;
  }
  line.from = line.to = seen->stored;
  const bool last = seen->stored == Status::rewarding && seen->newest_stage == grant.stage;
  const auto status = seen->view.status;
  if (move.to == RunState::running && last && status == Status::rewarding) {
    line.from = status_of(move.from);
  } else if (move.to != RunState::running && last && is_end(status)) {
    line.from = move.from == RunState::running ? Status::rewarding : status_of(move.from);
    line.to = status;
    line.trigger = status == Status::rewarded ? Trigger::reward_done
                   : status == Status::failed ? Trigger::reward_failed
                                              : Trigger::reward_exhausted;
  } else {
    line.reason = reason_of(grant, move.reason);
  }
  return line;
}

}  // namespace

void RewardMoves::moved(std::span<const RunMove> moves) noexcept {
  const std::shared_lock lock(mutex_);
  if (closed_) return;
  // Without memory the lines are lost, as they are where the process dies here: the records say what moved.
  try {
    tell_all(moves);
  } catch (const std::bad_alloc&) {
    journal_.write({.room = "task", .partition = {}, .subject = {}, .trigger = "out_of_memory"});
  }
}

void RewardMoves::close() {
  const std::unique_lock lock(mutex_);
  closed_ = true;
}

void RewardMoves::tell_all(std::span<const RunMove> moves) {
  std::vector<Told> told;
  std::vector<ViewWanted> wanted;
  for (const auto& move : moves) {
    auto grant = parse_run_key(move.run.key);
    if (!grant || move.run.partition != user_partition(grant->merchant, grant->user)) continue;
    auto merchant = merchants_.find(grant->merchant);
    if (merchant == nullptr) continue;
    const auto kind = kind_of(*merchant, *grant, move.run.pipeline);
    if (!kind.reward && !kind.take_back) continue;
    wanted.push_back({merchant.get(), move.run.partition, grant->user, grant->task, grant->cycle});
    told.push_back({&move, *std::move(grant), std::move(merchant)});
  }
  if (told.empty()) return;
  const auto seen = read_seen(storage_, wanted);
  for (std::size_t i = 0; i < told.size(); ++i) {
    const auto& [move, grant, merchant] = told[i];
    const auto kind = kind_of(*merchant, grant, move->run.pipeline);
    Line line{
        move->run.partition, instance_key(grant.task, grant.cycle), trigger_of(move->to), Status::rewarding,
        Status::rewarding,   reason_of(grant, move->reason),        move->actor};
    if (!seen) {
      // How its instance stands cannot be read now: that the reward has ended is told all the same.
      tell(&journal_, {&line, 1});
      continue;
    }
    const auto& stands = (*seen)[i];
    if (kind.take_back) {
      line.trigger = Trigger::take_back;
      line.from = line.to = stands ? stands->stored : Status::revoked;
      const auto what = move->to == RunState::succeeded ? "taken back"
                        : move->to == RunState::running ? "goes on"
                                                        : "owed: " + move->reason;
      line.reason = reason_of(grant, what);
    } else {
      line = line_of(*move, grant, stands);
    }
    tell(&journal_, {&line, 1});
  }
}

void tell_settled(Storage& storage, const MerchantIndex& merchant, const std::string& partition,
                  const GrantKey& grant, Revision revision, Journal& journal) {
  const ViewWanted wanted{&merchant, partition, grant.user, grant.task, grant.cycle};
  const auto seen = read_seen(storage, {&wanted, 1});
  // Where it cannot be read the line is lost; where a run has ended since, its end tells.
  if (!seen || !seen->front()) return;
  const auto& stands = *seen->front();
  if (stands.stored != Status::rewarding || !is_end(stands.view.status) || stands.newest > revision) return;
  const Line line{partition,
                  instance_key(grant.task, grant.cycle),
                  stands.view.status == Status::rewarded ? Trigger::reward_done
                  : stands.view.status == Status::failed ? Trigger::reward_failed
                                                         : Trigger::reward_exhausted,
                  Status::rewarding,
                  stands.view.status,
                  stands.view.status == Status::rewarded ? "out_of_stock" : stands.view.reason};
  tell(&journal, {&line, 1});
}

}  // namespace onceward::task_detail
