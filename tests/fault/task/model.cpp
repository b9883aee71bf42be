#include "fault/task/model.hpp"

namespace task_model {
namespace {

using State = Model::Grant::State;

std::int64_t day_of(Timestamp at, bool east) {
  const auto moved = at + (east ? 8h : 0h);
  return std::chrono::floor<std::chrono::days>(moved).time_since_epoch().count();
}
std::int64_t week_of(std::int64_t day) {  // 1970-01-01 was a Thursday
  return (day + 3 + 7'000'000) / 7 - 1'000'000;
}
std::chrono::year_month_day civil(std::int64_t day) { return std::chrono::sys_days(std::chrono::days(day)); }
std::string padded(std::int64_t number, std::size_t digits) {
  auto text = std::to_string(number);
  return std::string(digits - std::min(digits, text.size()), '0') + text;
}
std::string date_of(std::int64_t day) {
  const auto date = civil(day);
  return padded(static_cast<int>(date.year()), 4) + "-" + padded(static_cast<unsigned>(date.month()), 2) +
         "-" + padded(static_cast<unsigned>(date.day()), 2);
}
Timestamp begin_of(std::int64_t day, bool east) {
  return Timestamp(std::chrono::days(day)) - (east ? 8h : 0h);
}

/// The name of a day, week or month, and where it ends.
std::pair<std::string, Timestamp> period_at(Period period, Timestamp at, bool east) {
  const auto day = day_of(at, east);
  if (period == Period::day) return {"D:" + date_of(day), begin_of(day + 1, east)};
  if (period == Period::week) {
    const auto monday = week_of(day) * 7 - 3;
    const auto year = civil(monday + 3).year();
    const auto first = std::chrono::sys_days(year / 1 / 1).time_since_epoch().count();
    return {"W:" + padded(static_cast<int>(year), 4) + "-" + padded((monday + 3 - first) / 7 + 1, 2),
            begin_of(monday + 7, east)};
  }
  if (period == Period::month) {
    const auto date = civil(day);
    const auto next = std::chrono::sys_days((date.year() / date.month() + std::chrono::months(1)) / 1);
    return {"M:" + date_of(day).substr(0, 7), begin_of(next.time_since_epoch().count(), east)};
  }
  return {"-", Timestamp::max()};
}

}  // namespace

std::string Model::line_of(const Where& where, const std::string& user, const std::string& task, int stage,
                           int generation) {
  return user + "/" + task + "/" + where.cycle + "/" + std::to_string(stage) + "/" +
         std::to_string(generation);
}

std::string Model::period_of(const Task& task, Timestamp at) const {
  return period_at(task.per, at, task.east).first;
}

Model::Cycle Model::cycle_at(const std::string& user, int number, Timestamp at) const {
  const auto& of = task(number);
  if (of.period != Period::rolling) {
    auto [name, end] = period_at(of.period, at, of.east);
    return {name, end};
  }
  const auto anchor = anchors_.find({user, number});
  const auto from = anchor == anchors_.end() ? at : anchor->second;
  auto begin = from;
  while (begin > at) begin -= rolling;
  while (begin + rolling <= at) begin += rolling;
  const auto minutes =
      std::chrono::duration_cast<std::chrono::minutes>(begin - std::chrono::floor<std::chrono::days>(begin));
  return {"R:" + date_of(day_of(begin, false)) + "T" + padded(minutes.count() / 60, 2) + ":" +
              padded(minutes.count() % 60, 2) + ":00Z",
          begin + rolling};
}

std::string Model::cycle_of(const std::string& user, int number, Timestamp at) const {
  return cycle_at(user, number, at).name;
}

std::int64_t Model::streak_of(const Task& task, const Instance& instance) {
  std::map<std::int64_t, bool> days;  // and whether one of them came early
  for (const auto& part : instance.parts) {
    if (!part.gone) days[part.value] = days[part.value] || part.early;
  }
  std::int64_t longest = 0;
  for (auto first = days.begin(); first != days.end(); ++first) {
    std::int64_t length = 0;
    std::int64_t missed = 0;
    auto before = first;
    for (auto day = first; day != days.end(); before = day++) {
      const auto gap = day == first ? 0 : day->first - before->first - 1;
      if (!(gap == 1 && day->second)) missed += gap;
      if (missed > task.freeze) break;
      ++length;
    }
    longest = std::max(longest, length);
  }
  return longest;
}

std::int64_t Model::progress_of(const Task& task, const Instance& instance) {
  if (task.measure == Measure::streak) return streak_of(task, instance);
  std::set<std::int64_t> values;
  std::int64_t sums[] = {0, 0};
  for (const auto& part : instance.parts) {
    if (!part.gone) values.insert(part.value);
    sums[part.rule] += part.left();
  }
  if (task.measure == Measure::distinct) return static_cast<std::int64_t>(values.size());
  if (task.measure == Measure::all) return (sums[0] >= 2 ? 1 : 0) + (sums[1] >= 5 ? 1 : 0);
  return sums[0];
}

std::optional<Model::Part> Model::part_of(const Task& task, const Event& event) const {
  const bool back = event.type == "back";
  if (event.type != "paid" && !back) return std::nullopt;
  if (task.ends && event.at >= *task.ends) return std::nullopt;
  const auto n = *event.attributes.find("n")->integer();
  Part part;
  part.user = event.user;
  switch (task.measure) {
    case Measure::count: return back ? std::nullopt : std::optional(part);
    case Measure::sum:
      part.amount = back ? -n : n;
      part.divisible = true;
      return part;
    case Measure::distinct: part.value = n; return back ? std::nullopt : std::optional(part);
    case Measure::streak: {
      const auto day = day_of(event.at, task.east);
      const bool weeks = task.streak == Period::week;
      part.value = weeks ? week_of(day) : day;
      part.early = event.at < begin_of(weeks ? part.value * 7 - 3 : day, task.east) + task.grace;
      return back ? std::nullopt : std::optional(part);
    }
    case Measure::all:
      part.rule = back ? 1 : 0;
      part.amount = back ? n : 1;
      part.divisible = back;
      return part;
  }
  return std::nullopt;
}

Model::Said Model::report(const Event& event, Timestamp now) {
  if (!event.reverses.empty()) return take_back(event);
  Said said;
  auto& known = events_[event.user + "/" + event.id];
  known.came = true;
  for (int number = 0; number < static_cast<int>(tasks_.size()); ++number) {
    auto part = part_of(task(number), event);
    if (!part) continue;
    auto owner = event.user;
    if (task(number).credit) owner = *event.attributes.find("inviter")->string();
    if (task(number).credit && owner == event.user) {
      said.skipped.insert(task(number).id + " self_invite");
      continue;
    }
    if (task(number).members > 0) owner = *event.attributes.find("group")->string();
    if (known.gone) continue;
    part->taken = known.taken;
    Said elsewhere;
    auto& heard = owner == event.user ? said : elsewhere;  // what passes on is in no receipt
    const auto refused = contribute(owner, number, *part, event.at, now, false, known, heard);
    if (!refused.empty()) heard.skipped.insert(task(number).id + " " + refused);
  }
  return said;
}

/// Why it does not count; empty where it does.
std::string Model::contribute(const std::string& owner, int number, Part part, Timestamp at, Timestamp now,
                              bool completes, Known& known, Said& said) {
  const auto& of = task(number);
  const auto cycle = cycle_at(owner, number, at);
  const auto end = of.ends ? std::min(cycle.end, *of.ends) : cycle.end;
  Draft draft{{owner, number, cycle.name}, {}, false};
  const auto found = instances_.find(draft.where);
  const bool timed = of.late || of.within != Duration::zero() || of.period == Period::rolling;
  const bool ended = (timed || completes) && of.late && end != Timestamp::max() && now >= end + *of.late;
  if (ended) return "late";
  auto& instance = draft.instance;
  if (found != instances_.end()) {
    instance = found->second;
    if (of.migrate) instance.version = version_;
  } else {
    instance.version = version_;
    if (!of.manual_claim) {
      if (of.per_user != 0 && taken_[{owner, number}] >= of.per_user) return "limit";
      draft.begun = true;
      instance.status = Status::claimed;
      if (of.late || of.within != Duration::zero()) set_deadlines(instance, of, at, end, now);
    } else if (!of.history) {
      return "not_claimed";
    }
  }
  if (instance.status == Status::terminated || instance.status == Status::expired) return "ended";
  if (instance.deadline && at >= *instance.deadline) return "ended";
  if (of.manual_claim && !of.history && instance.claimed_at && at < *instance.claimed_at)
    return "not_claimed";
  if (completes) {
    part.amount = targets(number, instance.version).back() - progress_of(of, instance);
    const bool open = instance.status == Status::claimed || instance.status == Status::in_progress;
    if (of.ends && at >= *of.ends) return "ended";
    if (part.amount <= 0 || !open) return "wrong_state";
  }
  const bool counted = of.measure == Measure::distinct || of.measure == Measure::streak;
  if (of.members > 0 && (counted || part.left() != 0)) {
    auto& members = instance.members;
    if (std::find(members.begin(), members.end(), part.user) == members.end()) {
      if (members.size() >= static_cast<std::size_t>(of.members)) return "group_full";
      members.push_back(part.user);
      if (instance.reached > 0) reward_member(part.user, draft.where);
    }
  }
  said.contributions.insert(of.id + " " + cycle.name + " " +
                            std::to_string(counted ? part.value : part.left()));
  known.parts.emplace_back(draft.where, instance.parts.size());
  const auto before = progress_of(draft);
  instance.parts.push_back(part);
  reach(draft, before, completes ? Trigger::complete : Trigger::event, at, now);
  keep(std::move(draft), at);
  return {};
}

void Model::keep(Draft draft, Timestamp at) {
  const std::pair mine(draft.where.owner, draft.where.task);
  if (draft.begun) ++taken_[mine];
  if (task(draft.where.task).period == Period::rolling) anchors_.emplace(mine, at);
  instances_[draft.where] = std::move(draft.instance);
}

Model::Said Model::take_back(const Event& event) {
  Said said;
  auto& known = events_[event.user + "/" + event.reverses];
  if (event.amount) {
    known.taken += *event.amount;
  } else {
    known.gone = true;
  }
  for (const auto& [where, place] : known.parts) {
    Draft draft{where, instances_.at(where), false};
    const auto stood = progress_of(draft);
    auto& part = draft.instance.parts[place];
    const auto& of = task(where.task);
    const bool counted = of.measure == Measure::distinct || of.measure == Measure::streak;
    const auto before = part.left();
    const bool gone = part.gone;
    part.gone = known.gone;
    part.taken = known.taken;
    if (counted ? gone == part.gone : before == part.left()) continue;
    if (where.owner == event.user)
      said.contributions.insert(of.id + " " + where.cycle + " " +
                                std::to_string(counted ? part.value : part.left() - before));
    if (of.members > 0 && draft.instance.reached == 0) {
      const auto& parts = draft.instance.parts;
      const bool stays = std::any_of(parts.begin(), parts.end(), [&](const Part& other) {
        return other.user == event.user && other.left() != 0;
      });
      if (!stays) std::erase(draft.instance.members, event.user);
    }
    const bool adds = progress_of(draft) > stood;
    reach(draft, stood, adds ? Trigger::event : Trigger::take_back, event.at, event.at);
    instances_[where] = std::move(draft.instance);
  }
  return said;
}

void Model::set_deadlines(Instance& instance, const Task& of, Timestamp at, Timestamp end,
                          Timestamp now) const {
  instance.claimed_at = at;
  const auto until = [&](Timestamp event_time, Timestamp storage_time) {
    instance.deadline = std::min(instance.deadline.value_or(event_time), event_time);
    instance.expires = std::min(instance.expires.value_or(storage_time), storage_time);
  };
  const auto begun = std::max(at, now);
  if (of.within != Duration::zero()) until(at + of.within, begun + of.within);
  if (of.late && end != Timestamp::max()) until(end + *of.late, end + *of.late);
  if (of.hold != Duration::zero()) until(at + of.hold, begun + of.hold);
}

bool Model::waits(const Instance& instance) {
  return std::any_of(instance.grants.begin(), instance.grants.end(),
                     [](const auto& grant) { return grant.second.state == State::earned; });
}

void Model::move(Instance& instance, int stages, Trigger trigger) const {
  auto& status = instance.status;
  const auto all = instance.reached == stages;
  const auto full = waits(instance) ? Status::completed : Status::rewarding;
  const bool issued = status == Status::rewarding;
  if (trigger == Trigger::claim) {
    status = all ? full : Status::claimed;
  } else if (trigger == Trigger::collect) {
    status = all ? full : Status::in_progress;
  } else if (issued) {
    if (!all) status = Status::revoked;
  } else if (status == Status::not_taken || status == Status::terminated || status == Status::expired) {
    return;
  } else if (trigger == Trigger::take_back) {
    if (status == Status::completed && !all) status = Status::in_progress;
  } else {
    status = all ? full : Status::in_progress;
  }
}

void Model::reach(Draft& draft, std::int64_t before, Trigger trigger, Timestamp at, Timestamp now) {
  auto& instance = draft.instance;
  const auto from = instance.status;
  const bool ended = from == Status::terminated || from == Status::expired;
  const auto& goals = targets(draft.where.task, instance.version);
  if (ended || from != Status::not_taken || trigger == Trigger::claim) lose(draft, before);
  const bool counts = !ended && (from != Status::not_taken || trigger == Trigger::claim);
  while (counts && instance.reached < static_cast<int>(goals.size()) &&
         progress_of(draft) >= goals[static_cast<std::size_t>(instance.reached)]) {
    earn(draft, ++instance.reached, at);
    if (trigger == Trigger::take_back) trigger = Trigger::event;
  }
  move(instance, static_cast<int>(goals.size()), trigger);
  const auto& window = task(draft.where.task).collect_within;
  if (from != Status::completed && instance.status == Status::completed && window != Duration::zero())
    instance.collect_until = now + window;
  if (from == Status::completed && instance.status != Status::completed) instance.collect_until.reset();
}

/// What was earned and not issued falls with its progress; what was issued, where it can be taken back. A
/// version that asks for more takes nothing away.
void Model::lose(Draft& draft, std::int64_t before) {
  auto& instance = draft.instance;
  const auto& of = task(draft.where.task);
  const auto& goals = targets(draft.where.task, instance.version);
  bool fell = false;
  while (instance.reached > 0 && progress_of(draft) < goals[static_cast<std::size_t>(instance.reached - 1)]) {
    const auto found = instance.grants.find(instance.reached);
    if (found == instance.grants.end()) break;
    auto& grant = found->second;
    if (grant.state != State::voided) {
      if (progress_of(draft) >= before) break;
      const bool issued = grant.state == State::issued;
      if ((issued || grant.state == State::out_of_stock) && !of.clawback) break;
      if (issued) {
        revoke(draft.where, found->first, grant);
      } else {
        grant.state = State::voided;
      }
      free_unit(draft.where.task, grant);
      fell = true;
    }
    --instance.reached;
  }
  const bool ended = instance.status == Status::terminated || instance.status == Status::expired;
  if (ended && fell) free_claim(draft);
}

void Model::earn(Draft& draft, int stage, Timestamp at) {
  const auto& of = task(draft.where.task);
  auto& instance = draft.instance;
  if (of.members > 0) {
    for (const auto& member : instance.members) {
      const bool stands = std::any_of(instance.parts.begin(), instance.parts.end(), [&](const Part& part) {
        return part.user == member && part.left() != 0;
      });
      if (stands) reward_member(member, draft.where);
    }
    return;
  }
  const bool tracked =
      of.manual_collect || of.clawback || of.unit == Unit::completion || of.unit == Unit::collection;
  auto& grant = instance.grants[stage];
  const auto generation = grant.generation;
  const bool again = grant.state == State::voided || grant.state == State::revoked;
  if (again && grant.owed)
    debts_[draft.where.owner].insert(line_of(draft.where, draft.where.owner, of.id, stage, generation));
  grant = {};
  grant.generation = again ? generation + 1 : generation;
  const bool unit = of.unit == Unit::completion || (of.unit == Unit::collection && !of.manual_collect);
  if (unit) {
    grant.period = period_of(of, at);
    grant.unit = take_unit(draft.where.task, grant.period);
    if (!grant.unit) grant.state = State::out_of_stock;
  }
  if (!tracked || (!of.manual_collect && grant.state == State::earned)) issue(draft.where, stage, grant);
}

void Model::issue(const Where& where, int stage, Grant& grant) {
  grant.state = State::issued;
  grant.run = answer(where.owner);
  if (grant.run == Run::given)
    ledger_[line_of(where, where.owner, task(where.task).id, stage, grant.generation)] = points_of(stage);
}

void Model::revoke(const Where& where, int stage, Grant& grant) {
  grant.state = State::revoked;
  if (grant.run != Run::given) return;
  grant.take = answer(where.owner);
  grant.owed = grant.take != Run::given;
  if (!grant.owed) ledger_[line_of(where, where.owner, task(where.task).id, stage, grant.generation)] = 0;
}

/// A member's reward is his own: once, however often the group has him.
void Model::reward_member(const std::string& user, const Where& where) {
  const auto line = line_of(where, user, task(where.task).id, 1, 1);
  auto& mine = memberships_[user];
  if (mine.contains(line)) return;
  mine[line] = answer(user);
  if (mine[line] == Run::given) ledger_[line] = points_of(1);
}

bool Model::take_unit(int number, const std::string& period) {
  auto& used = units_[{number, period}];
  if (used >= task(number).units) return false;
  ++used;
  return true;
}

void Model::free_unit(int number, Grant& grant) {
  if (grant.unit) --units_[{number, grant.period}];
  grant.unit = false;
}

/// A unit taken at the claim returns where no reward stands that was issued for it.
void Model::free_claim(Draft& draft) {
  auto& instance = draft.instance;
  const bool issued = std::any_of(instance.grants.begin(), instance.grants.end(),
                                  [](const auto& grant) { return grant.second.state == State::issued; });
  if (!instance.unit || issued) return;
  --units_[{draft.where.task, *instance.unit}];
  instance.unit.reset();
}

}  // namespace task_model
