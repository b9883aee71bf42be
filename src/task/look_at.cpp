#include "core/utf8.hpp"
#include "pipeline/storable.hpp"
#include "task/work.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace onceward::task_detail {
namespace {

constexpr std::size_t most_event_id = 200;
constexpr std::size_t most_user = 128;
constexpr std::size_t most_type = 64;

Result<void> check_text(const Event& event, std::string_view what, const std::string& text,
                        std::size_t most) {
  if (core_detail::first_not_utf8(text) != std::string_view::npos) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("event \"{}\" of user \"{}\": its {} is no UTF-8",
                            pipeline_detail::readable(event.id, most_event_id),
                            pipeline_detail::readable(event.user, most_user), what));
  }
  if (!text.empty() && text.size() <= most) return {};
  return fail(ErrorCode::invalid_argument,
              fmt::format("event \"{}\" of user \"{}\": its {} has {} bytes, it needs 1 to {}", event.id,
                          event.user, what, text.size(), most));
}

bool in_window(const TaskDefinition& task, Timestamp at) noexcept {
  return (!task.starts || at >= *task.starts) && (!task.ends || at < *task.ends);
}

}  // namespace

Result<void> check(const Event& event) {
  if (auto id = check_text(event, "id", event.id, most_event_id); !id) return id;
  if (event.id.starts_with(completion_prefix)) {
    return fail(
        ErrorCode::invalid_argument,
        fmt::format("event \"{}\" of user \"{}\": ids that begin with \"{}\" name what complete() did",
                    event.id, event.user, completion_prefix));
  }
  if (auto user = check_text(event, "user", event.user, most_user); !user) return user;
  if (auto type = check_text(event, "type", event.type, most_type); !type) return type;
  if (event.at < earliest || event.at >= latest) {
    return fail(
        ErrorCode::invalid_argument,
        fmt::format("event \"{}\" of user \"{}\": its time lies outside 1900 to 2099", event.id, event.user));
  }
  if (event.reverses.empty() && !event.amount) return {};
  if (auto reverses = check_text(event, "reverses", event.reverses, most_event_id); !reverses)
    return reverses;
  if (event.reverses == event.id || (event.amount && *event.amount < 1)) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("event \"{}\" of user \"{}\": {}", event.id, event.user,
                            event.reverses == event.id ? "it reverses itself"
                                                       : "the amount it takes back is below 1"));
  }
  return {};
}

Result<void> check_stored(const Event& event) {
  const auto& attributes = event.attributes;
  const auto stray = std::find_if(attributes.begin(), attributes.end(), [](const Map::Entry& attribute) {
    return core_detail::first_not_utf8(attribute.first) != std::string_view::npos ||
           !pipeline_detail::is_storable(attribute.second);
  });
  if (stray != attributes.end()) {
    return fail(
        ErrorCode::invalid_argument,
        fmt::format("event \"{}\" of user \"{}\": its attribute \"{}\" cannot be stored: it needs UTF-8, "
                    "finite numbers and at most {} levels of nesting",
                    event.id, event.user, pipeline_detail::readable(stray->first, most_type),
                    pipeline_detail::most_stored_depth));
  }
  return {};
}

namespace {

/// The cycle of the event for each period, computed once an event however many tasks ask.
class Cycles {
 public:
  Cycles(const Zone& zone, Timestamp at) noexcept : zone_(zone), at_(at) {}
  const std::string& of(Period period) {
    auto& name = names_[static_cast<std::size_t>(period)];
    if (name.empty()) name = cycle_of(period, zone_, at_);
    return name;
  }

 private:
  const Zone& zone_;
  Timestamp at_;
  std::array<std::string, 4> names_;  ///< of once, day, week and month
};

/// What the host knows of the user an event counts for, asked for at most once an event.
class Known {
 public:
  Known(const Profiles& profiles, std::string_view merchant, std::string_view user)
      : profiles_(profiles), merchant_(merchant), user_(user) {}
  Result<const UserProfile*> profile() {
    if (!profile_ && profiles_) {
      auto found = profiles_(merchant_, user_);
      if (!found) return fail(std::move(found).error());
      profile_ = *std::move(found);
    }
    if (!profile_) profile_.emplace();
    return &*profile_;
  }

 private:
  const Profiles& profiles_;
  std::string_view merchant_;
  std::string_view user_;
  std::optional<UserProfile> profile_;
};

Unexpected at_event(const Event& event, Error error) {
  error.message = fmt::format("event \"{}\" of user \"{}\": {}", event.id, event.user, error.message);
  return fail(std::move(error));
}

/// Looks at one event for the tasks of its type.
class Look {
 public:
  Look(PendingEvent& pending, const Profiles& profiles)
      : pending_(pending),
        event_(*pending.event),
        owner_(std::string_view(pending.owner).substr(pending.owner.find('/') + 1)),
        known_(profiles, event_.merchant, owner_) {}

  Result<void> at(const IndexEntry& entry, bool passed_on) {
    const auto& task = *entry.task;
    if (!in_window(*task.definition, event_.at)) return {};
    if (campaign_ != entry.campaign) {
      campaign_ = entry.campaign;
      cycles_.emplace(campaign_->zone, event_.at);
    }
    const Binding names[] = {{"event", &event_.attributes}, {"user", nullptr, event_.user}};
    auto contributed = contribution_of(task, entry.rule, task.calendar.zone(), names, event_.at);
    if (!contributed) return refuse(entry, std::move(contributed).error());
    if (!*contributed) return {};
    if (task.group || task.rules[entry.rule].credit) {
      auto owner = owner_of(task, entry.rule, names);
      if (!owner) return refuse(entry, std::move(owner).error());
      if (!passed_on) return hand_over(task, *std::move(owner));
      if (*owner != pending_.owner) return {};
    } else if (passed_on && pending_.owner != user_owner(event_.user)) {
      return {};
    }
    Candidate candidate{&entry, cycle_of(task), **std::move(contributed)};
    if (entry.in_force) {
      if (auto asked = ask(task, candidate); !asked) return at_event(event_, std::move(asked).error());
    }
    pending_.candidates.push_back(std::move(candidate));
    return {};
  }

 private:
  /// A version in force refuses an event it cannot compute. An older one refuses it to its own users alone:
  /// the later one may have been made because events changed.
  Result<void> refuse(const IndexEntry& entry, Error error) {
    if (entry.in_force) return at_event(event_, std::move(error));
    const auto& task = *entry.task;
    // Whose event it is there nobody can tell.
    if (task.group || task.rules[entry.rule].credit) return {};
    Candidate candidate{&entry, cycle_of(task)};
    candidate.failed = std::make_shared<const Error>(std::move(error));
    pending_.candidates.push_back(std::move(candidate));
    return {};
  }

  std::string cycle_of(const CompiledTask& task) {
    if (task.own_cycles) return {};
    if (task.plain_cycles) return cycles_->of(task.definition->period);
    return task.calendar.cycle_of(event_.at);
  }

  Result<std::string> owner_of(const CompiledTask& task, std::size_t rule, std::span<const Binding> names) {
    const auto& expression = task.group ? *task.group : *task.rules[rule].credit;
    auto named = expression.evaluate(names);
    if (!named) return fail(std::move(named).error());
    const auto* name = named->string();
    if (name == nullptr || name->empty() || name->size() > most_user ||
        core_detail::first_not_utf8(*name) != std::string_view::npos) {
      return fail(ErrorCode::wrong_kind, fmt::format("task \"{}\": \"{}\" must give 1 to {} bytes of text",
                                                     task.definition->id, expression.text(), most_user));
    }
    return (task.group ? "group/" : "user/") + *name;
  }

  Result<void> hand_over(const CompiledTask& task, std::string owner) {
    if (owner == pending_.owner) {
      // Told once, however many rules and versions of the task say so.
      const Skipped skipped{task.definition->id, {}, "self_invite"};
      auto& told = pending_.skipped;
      if (std::find(told.begin(), told.end(), skipped) == told.end()) told.push_back(skipped);
      return {};
    }
    const bool there = std::any_of(
        pending_.passed_on.begin(), pending_.passed_on.end(),
        [&](const PassedOn& other) { return other.owner == owner && other.task == task.definition->id; });
    if (!there) pending_.passed_on.push_back({std::move(owner), task.definition->id});
    return {};
  }

  Result<void> ask(const CompiledTask& task, Candidate& candidate) {
    if (!task.audience && !task.definition->user_zone) return {};
    auto profile = known_.profile();
    if (!profile) return fail(std::move(profile).error());
    pending_.zone = (*profile)->timezone;
    if (!task.audience) return {};
    const Binding names[] = {{"profile", &(*profile)->attributes}, {"user", nullptr, owner_}};
    auto belongs = task.audience->test(names);
    // Who lacks what the audience asks for does not belong to it.
    if (!belongs && belongs.error().code != ErrorCode::unknown_name) return fail(std::move(belongs).error());
    if (!belongs || !*belongs) candidate.refused = "not_eligible";
    return {};
  }

  PendingEvent& pending_;
  const Event& event_;
  std::string_view owner_;  ///< the user it counts for: who is invited is asked nothing
  Known known_;
  const CompiledCampaign* campaign_ = nullptr;
  std::optional<Cycles> cycles_;
};

Result<PendingEvent> begin_look(const Event& event, std::size_t place,
                                std::shared_ptr<const MerchantIndex> merchant, std::string owner) {
  if (auto checked = check(event); !checked) return fail(std::move(checked).error());
  if (merchant == nullptr) {
    return fail(
        ErrorCode::not_found,
        fmt::format("event \"{}\": the merchant \"{}\" has published no campaign", event.id, event.merchant));
  }
  auto partition = owner_partition(event.merchant, owner);
  return PendingEvent{
      place, &event, std::move(merchant), std::move(owner), std::move(partition), {}, fingerprint_of(event),
      {}};
}

}  // namespace

bool PendingEvent::looks_ahead() const noexcept {
  return !reverses_key.empty() ||
         std::any_of(candidates.begin(), candidates.end(), [](const auto& candidate) {
           return candidate.entry->task->own_cycles || !candidate.entry->task->definition->after.empty();
         });
}

Result<PendingEvent> look_at(const Event& event, std::size_t place,
                             std::shared_ptr<const MerchantIndex> merchant, const Profiles& profiles) {
  auto pending = begin_look(event, place, std::move(merchant), user_owner(event.user));
  if (!pending) return pending;
  pending->key = event_key(event.id);
  if (!event.reverses.empty()) {
    // What it takes back may have been passed on, and so is it then.
    if (auto stored = check_stored(event); !stored) return fail(std::move(stored).error());
    pending->reverses_key = event_key(event.reverses);
    return pending;
  }
  const auto concerned = pending->merchant->by_event.find(event.type);
  if (concerned == pending->merchant->by_event.end()) return pending;
  pending->candidates.reserve(concerned->second.size());
  Look look(*pending, profiles);
  for (const auto& entry : concerned->second) {
    if (auto looked = look.at(entry, false); !looked) return fail(std::move(looked).error());
  }
  if (!pending->passed_on.empty()) {
    if (auto stored = check_stored(event); !stored) return fail(std::move(stored).error());
  }
  return pending;
}

Result<PendingEvent> look_at_passed_on(const Event& event, std::size_t place,
                                       std::shared_ptr<const MerchantIndex> merchant,
                                       const Profiles& profiles, std::string_view owner,
                                       std::string_view task, std::int64_t reduced) {
  auto pending = begin_look(event, place, std::move(merchant), std::string(owner));
  if (!pending) return pending;
  pending->handed_over = true;
  pending->key = passed_on_key(event.user, task, event.id);
  pending->reduced = reduced;
  if (!event.reverses.empty()) {
    pending->reverses_key = passed_on_key(event.user, task, event.reverses);
    return pending;
  }
  const auto concerned = pending->merchant->by_event.find(event.type);
  if (concerned == pending->merchant->by_event.end()) return pending;
  Look look(*pending, profiles);
  for (const auto& entry : concerned->second) {
    if (entry.task->definition->id != task) continue;
    if (auto looked = look.at(entry, true); !looked) return fail(std::move(looked).error());
  }
  return pending;
}

}  // namespace onceward::task_detail
