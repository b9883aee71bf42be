#include "calls.hpp"

#include <algorithm>
#include <tuple>

namespace torture {
namespace {

constexpr std::int64_t ms = 1'000'000;

bool take(Call& call, const Line& line) {
  const auto once = [&](std::optional<Line>& place) {
    if (place) return false;
    place = line;
    return true;
  };
  switch (line.event) {
    case Event::begin: return false;  // there is one already
    case Event::acquired: ++call.runs; return call.acquired ? true : once(call.acquired);
    case Event::effect: return once(call.effect);
    case Event::refused: return once(call.refused);
    case Event::renewed: return call.renewals.push_back(line), true;
    case Event::finishing: return once(call.finishing);
    case Event::end: return once(call.end);
  }
  return false;
}

/// When the claim was written: between the begin of its call and the moment its owner knew of it, and where
/// the storage gave its time as the fence, just then.
void place_in_time(Claim& claim, std::int64_t realtime_offset_ns) {
  claim.earliest = claim.call->begin.at;
  claim.latest = claim.call->acquired->at;
  const auto told = claim.fence * 1000 - realtime_offset_ns;
  if (claim.fence == 0 || told < claim.earliest - slack_ns || told > claim.latest + slack_ns) return;
  claim.earliest = std::max(claim.earliest, told - slack_ns);
  claim.latest = std::min(claim.latest, told + slack_ns);
}

Claim claim_of(const Call& call, const std::vector<const Call*>& told, std::int64_t realtime_offset_ns) {
  Claim claim{&call, call.acquired->fence, call.acquired->attempt};
  // A handler does not know its fence: the outcome does, and where its process died, a replay of it.
  const auto learn = [&](const Line& end) {
    if (claim.fence == 0) claim.fence = end.fence, claim.attempt = end.attempt;
  };
  if (call.end) learn(*call.end);
  const bool ends_well = call.finishing && call.finishing->result != "-";
  for (const auto* other : told) {
    if (!ends_well || other->end->result != call.finishing->result) continue;
    learn(*other->end);
    claim.done_at = std::min(claim.done_at.value_or(other->end->at), other->end->at);
  }
  if (call.finishing) claim.done_from = call.finishing->at;
  place_in_time(claim, realtime_offset_ns);
  auto lease_from = claim.earliest;
  for (const auto& renewal : call.renewals) lease_from = std::max(lease_from, renewal.at);
  claim.holds_until = lease_from + call.begin.lease_ms * ms - slack_ns;
  if (call.finishing) claim.holds_until = std::min(claim.holds_until, call.finishing->at);
  return claim;
}

}  // namespace

bool Call::told() const { return stored() || (end && end->word == "replayed" && end->result != "-"); }
bool Call::stored() const { return end && end->word == "executed" && end->recorded && end->result != "-"; }

const Claim* KeyHistory::maker(const std::string& result) const {
  for (const auto& claim : claims) {
    if (claim.call->finishing && claim.call->finishing->result == result) return &claim;
  }
  return nullptr;
}

Calls calls_of(const std::vector<Line>& lines) {
  Calls calls;
  std::map<std::pair<std::string, int>, std::size_t> places;
  for (const auto& line : lines) {
    if (line.event != Event::begin) continue;
    if (places.emplace(std::pair(line.process, line.call), calls.calls.size()).second) {
      calls.calls.push_back({.begin = line});
    } else {
      calls.broken.push_back({"history", line.key, "a call began twice: " + format(line)});
    }
  }
  for (const auto& line : lines) {
    if (line.event == Event::begin) continue;
    const auto place = places.find({line.process, line.call});
    if (place == places.end() || !take(calls.calls[place->second], line)) {
      calls.broken.push_back({"history", line.key, "a line fits into no call: " + format(line)});
    }
  }
  return calls;
}

std::vector<KeyHistory> keys_of(const std::vector<Call>& calls, std::int64_t realtime_offset_ns) {
  std::map<std::pair<Kind, std::string>, KeyHistory> keys;
  for (const auto& call : calls) {
    auto& key = keys[{call.begin.kind, call.begin.key}];
    key.kind = call.begin.kind;
    key.key = call.begin.key;
    key.calls.push_back(&call);
  }
  std::vector<KeyHistory> list;
  for (auto& [name, key] : keys) {
    std::vector<const Call*> told;
    for (const auto* call : key.calls) {
      if (call->told()) told.push_back(call);
    }
    for (const auto* call : key.calls) {
      if (call->acquired) key.claims.push_back(claim_of(*call, told, realtime_offset_ns));
    }
    list.push_back(std::move(key));
  }
  return list;
}

std::int64_t taken_ns(const Call& call, const Observed& observed) {
  auto taken = call.end->at - call.begin.at;
  const auto stops = observed.stops.find(call.begin.process);
  if (stops == observed.stops.end()) return taken;
  for (const auto& stop : stops->second) {
    taken -= std::max<std::int64_t>(0, std::min(call.end->at, stop.to) - std::max(call.begin.at, stop.from));
  }
  return taken;
}

}  // namespace torture
