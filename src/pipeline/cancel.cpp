// What was asked of a run to end it.
#include "pipeline/storable.hpp"
#include "pipeline/walk.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

namespace onceward::pipeline_detail {
namespace {

constexpr std::string_view too_late = "none: it came too late";

bool is_cancel(const Request& request) noexcept { return request.name.empty(); }

}  // namespace

int reach_of(const Request& asked) {
  const auto mode = text_of(asked.payload, "mode");
  const auto known = std::find(cancel_modes.begin(), cancel_modes.end(), mode);
  return known == cancel_modes.end() ? 0 : static_cast<int>(known - cancel_modes.begin());
}

void tell_cancel(Run& run, const Request& asked, std::string after) {
  const auto* at = asked.payload.find("at");
  const auto us = at == nullptr || at->integer() == nullptr ? 0 : *at->integer();
  run.acts.push_back({"cancel",
                      text_of(asked.payload, "actor"),
                      text_of(asked.payload, "reason"),
                      {},
                      std::string(onceward::to_string(RunState::running)),
                      std::move(after),
                      Timestamp(Duration(us))});
}

std::optional<Request> take_cancels(Run& run) {
  std::vector<Request> all;
  std::copy_if(run.requests.begin(), run.requests.end(), std::back_inserter(all), is_cancel);
  if (all.empty()) return std::nullopt;
  std::erase_if(run.requests, is_cancel);
  const auto most = std::max_element(
      all.begin(), all.end(), [](const Request& a, const Request& b) { return reach_of(a) < reach_of(b); });
  for (auto other = all.begin(); other != all.end(); ++other) {
    if (other != most) tell_cancel(run, *other, "none: more was asked after it");
  }
  return std::move(*most);
}

void end_cancels(Run& run) {
  const auto most = take_cancels(run);
  if (!most) return;
  const bool given_up =
      run.state == RunState::needs_attention && reach_of(*most) == static_cast<int>(Cancel::abandon);
  tell_cancel(run, *most, given_up ? text_of(most->payload, "mode") : std::string(too_late));
  if (given_up) abandon(run, fmt::format("cancelled: {}", text_of(most->payload, "reason")));
}

void abandon(Run& run, std::string reason) {
  for (auto& place : run.root.children) cancel(place);
  for (auto& forgotten : run.forgotten) cancel(forgotten.place);
  run.cancelled = true;
  run.state = RunState::cancelled;
  run.reason = readable(std::move(reason), most_reason_bytes);
}

}  // namespace onceward::pipeline_detail
