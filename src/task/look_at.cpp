#include "core/utf8.hpp"
#include "pipeline/storable.hpp"
#include "task/work.hpp"

#include <fmt/format.h>

namespace onceward::task_detail {
namespace {

constexpr std::size_t most_event_id = 200;
constexpr std::size_t most_user = 128;
constexpr std::size_t most_type = 64;
constexpr auto earliest = Timestamp(std::chrono::days(-25567));  // 1900-01-01
constexpr auto latest = Timestamp(std::chrono::days(47482));     // 2100-01-01

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

Result<void> check(const Event& event) {
  if (auto id = check_text(event, "id", event.id, most_event_id); !id) return id;
  if (auto user = check_text(event, "user", event.user, most_user); !user) return user;
  if (auto type = check_text(event, "type", event.type, most_type); !type) return type;
  if (event.at < earliest || event.at >= latest) {
    return fail(
        ErrorCode::invalid_argument,
        fmt::format("event \"{}\" of user \"{}\": its time lies outside 1900 to 2099", event.id, event.user));
  }
  return {};
}

bool in_window(const TaskDefinition& task, Timestamp at) noexcept {
  return (!task.starts || at >= *task.starts) && (!task.ends || at < *task.ends);
}

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
  std::array<std::string, 4> names_;
};

}  // namespace

Result<PendingEvent> look_at(const Event& event, std::size_t place,
                             std::shared_ptr<const MerchantIndex> merchant) {
  if (auto checked = check(event); !checked) return fail(std::move(checked).error());
  if (merchant == nullptr) {
    return fail(
        ErrorCode::not_found,
        fmt::format("event \"{}\": the merchant \"{}\" has published no campaign", event.id, event.merchant));
  }
  PendingEvent pending{place,
                       &event,
                       std::move(merchant),
                       user_partition(event.merchant, event.user),
                       event_key(event.id),
                       fingerprint_of(event),
                       {}};
  const auto concerned = pending.merchant->by_event.find(event.type);
  if (concerned == pending.merchant->by_event.end()) return pending;
  const Binding names[] = {{"event", &event.attributes}};
  pending.candidates.reserve(concerned->second.size());
  const CompiledCampaign* campaign = nullptr;
  std::optional<Cycles> cycles;
  for (const auto& entry : concerned->second) {
    if (!in_window(*entry.task->definition, event.at)) continue;
    if (campaign != entry.campaign) {
      campaign = entry.campaign;
      cycles.emplace(campaign->zone, event.at);
    }
    auto contributed = contribution_of(*entry.task, entry.rule, campaign->zone, names, event.at);
    if (!contributed) {
      auto error = std::move(contributed).error();
      error.message = fmt::format("event \"{}\" of user \"{}\": {}", event.id, event.user, error.message);
      return fail(std::move(error));
    }
    if (*contributed) {
      pending.candidates.push_back(
          {&entry, cycles->of(entry.task->definition->period), **std::move(contributed)});
    }
  }
  return pending;
}

}  // namespace onceward::task_detail
