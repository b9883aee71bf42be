#include <onceward/task/task_center.hpp>

#include "task/center_state.hpp"
#include "task/scratch_storage.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace onceward {

using task_detail::look_at;
using task_detail::PendingEvent;
using task_detail::Reporter;
using task_detail::Requests;

namespace {

constexpr std::size_t events_at_once = 1024;

}  // namespace

void TaskCenter::State::report_some(Storage& on, std::span<const Event> events,
                                    std::span<Result<Receipt>> places, bool drives) {
  std::vector<PendingEvent> pending;
  pending.reserve(events.size());
  std::shared_ptr<const task_detail::MerchantIndex> merchant;
  for (std::size_t i = 0; i < events.size(); ++i) {
    if (i == 0 || events[i].merchant != events[i - 1].merchant) merchant = merchants.find(events[i].merchant);
    auto looked = look_at(events[i], i, merchant, options.profile);
    if (looked) {
      pending.push_back(*std::move(looked));
    } else {
      places[i] = fail(std::move(looked).error());
    }
  }
  auto chosen = options;
  if (!drives) chosen.journal = nullptr;  // nothing moves
  Reporter(on, runner, chosen, drives).report(std::move(pending), places);
}

Result<task_detail::Campaigns> TaskCenter::State::earlier_versions(
    const task_detail::CompiledCampaign& campaign) {
  const auto& merchant = campaign.definition.merchant;
  const auto index = merchants.find(merchant);
  std::vector<task_detail::UnknownVersion> unknown;
  auto earlier = task_detail::earlier_versions(storage, campaign, index.get(), unknown);
  if (!earlier) return earlier;
  if (auto fits = task_detail::check_updates(campaign, index.get(), *earlier); !fits)
    return fail(std::move(fits).error());
  std::erase_if(*earlier, [&](const auto& version) {
    for (const auto& plan : version->plans) {
      auto added = catalog.add(plan, merchant);
      if (added) continue;
      const auto& task = version->definition.tasks.front();
      unknown.push_back({task.id + "/" + task.version, std::move(added).error().message});
      return true;
    }
    return false;
  });
  if (options.journal == nullptr) return earlier;
  for (const auto& version : unknown) {
    options.journal->write({.room = "task",
                            .partition = task_detail::definitions_partition(merchant),
                            .subject = version.name,
                            .trigger = "publish",
                            .to = "unknown",
                            .reason = version.why});
  }
  return earlier;
}

TaskCenter::TaskCenter(Storage& storage, PlanCatalog& catalog, Runner& runner, TaskCenterOptions options)
    : state_(new State{storage, catalog, runner, std::move(options)}) {
  if (state_->options.journal == nullptr || state_->options.store_only) return;
  state_->reward_moves =
      std::make_shared<task_detail::RewardMoves>(storage, state_->merchants, *state_->options.journal);
  runner.observe(state_->reward_moves);
}

TaskCenter::~TaskCenter() {
  if (state_->reward_moves != nullptr) state_->reward_moves->close();
}

Result<void> TaskCenter::check(const Campaign& campaign) {
  const auto compiled = campaign.shared();
  const auto index = state_->merchants.find(compiled->definition.merchant);
  std::vector<task_detail::UnknownVersion> unknown;
  const auto earlier = task_detail::earlier_versions(state_->storage, *compiled, index.get(), unknown);
  if (!earlier) return fail(earlier.error());
  if (auto fits = task_detail::check_updates(*compiled, index.get(), *earlier); !fits) return fits;
  for (const auto& plan : compiled->plans) {
    const auto& definition = plan.definition();
    const auto there =
        state_->catalog.find_of(compiled->definition.merchant, definition.id, definition.version);
    if (!there || there->sha256() == plan.sha256()) continue;
    return fail(
        ErrorCode::conflict,
        fmt::format("pipeline \"{}\" version \"{}\" is there with another content; give the changed one "
                    "another version",
                    definition.id, definition.version));
  }
  if (const auto missing = task_detail::missing_versions(state_->storage, *compiled); !missing)
    return fail(missing.error());
  return {};
}

Result<void> TaskCenter::publish(const Campaign& campaign) {
  auto compiled = campaign.shared();
  auto earlier = state_->earlier_versions(*compiled);
  if (!earlier) return fail(std::move(earlier).error());
  if (auto stored = task_detail::store_versions(state_->storage, *compiled); !stored) return stored;
  for (const auto& plan : compiled->plans) {
    if (auto added = state_->catalog.add(plan, compiled->definition.merchant); !added) return added;
  }
  state_->merchants.put(std::move(compiled), *std::move(earlier));
  return {};
}

Result<Receipt> TaskCenter::report(const Event& event) { return std::move(report_many({&event, 1}).front()); }

std::vector<Result<Receipt>> TaskCenter::report_many(std::span<const Event> events) {
  std::vector<Result<Receipt>> answers(events.size());
  for (std::size_t first = 0; first < events.size(); first += events_at_once) {
    const auto some = events.subspan(first, std::min(events_at_once, events.size() - first));
    state_->report_some(state_->storage, some, std::span(answers).subspan(first, some.size()), true);
  }
  return answers;
}

std::vector<Result<Receipt>> TaskCenter::simulate(std::span<const Event> events, Timestamp now) {
  std::vector<Result<Receipt>> answers(events.size());
  task_detail::ScratchStorage scratch(state_->storage, now);
  for (std::size_t first = 0; first < events.size(); first += events_at_once) {
    const auto some = events.subspan(first, std::min(events_at_once, events.size() - first));
    state_->report_some(scratch, some, std::span(answers).subspan(first, some.size()), false);
  }
  return answers;
}

Result<Reply> TaskCenter::claim(const Request& request) {
  auto requests = state_->requests();
  auto reply = requests.run(Trigger::claim, request);
  if (!reply || reply->outcome != Reply::Outcome::out_of_stock) return reply;
  // Units whose time has passed are free, also where nobody has given them back yet.
  const auto freed = state_->free_lapsed(request.merchant, request.task, requests.asked_at());
  if (!freed) return fail(freed.error());
  return *freed ? requests.run(Trigger::claim, request) : std::move(reply);
}
Result<Reply> TaskCenter::complete(const Request& request) {
  return state_->requests().run(Trigger::complete, request);
}
Result<Reply> TaskCenter::collect(const Request& request) {
  return state_->requests().run(Trigger::collect, request);
}
Result<Reply> TaskCenter::abandon(const Request& request) {
  return state_->requests().run(Trigger::abandon, request);
}
Result<Reply> TaskCenter::withdraw(const Request& request) {
  return state_->requests().run(Trigger::withdraw, request);
}
Result<Explanation> TaskCenter::explain(const Request& request) {
  return state_->requests().explain(request);
}

Result<std::optional<InstanceView>> TaskCenter::State::view(std::string_view merchant, std::string_view owner,
                                                            std::string_view user, std::string_view task,
                                                            std::string_view cycle) {
  const auto index = merchants.find(merchant);
  if (index == nullptr) return std::optional<InstanceView>();
  const task_detail::ViewWanted wanted{index.get(), task_detail::owner_partition(merchant, owner),
                                       std::string(user), std::string(task), std::string(cycle)};
  auto views = task_detail::read_views(storage, {&wanted, 1});
  if (!views) return fail(std::move(views).error());
  return std::move(views->front());
}

Result<std::optional<InstanceView>> TaskCenter::instance(std::string_view merchant, std::string_view user,
                                                         std::string_view task, std::string_view cycle) {
  return state_->view(merchant, task_detail::user_owner(user), user, task, cycle);
}

Result<std::optional<InstanceView>> TaskCenter::group_instance(std::string_view merchant,
                                                               std::string_view group, std::string_view task,
                                                               std::string_view cycle) {
  return state_->view(merchant, "group/" + std::string(group), {}, task, cycle);
}

}  // namespace onceward
