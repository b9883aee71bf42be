#include "fault/task/model.hpp"

// What users, operators and timers ask of the model.
namespace task_model {

using State = Model::Grant::State;

Model::Said Model::claim(const std::string& user, int number, Timestamp now) {
  Said said;
  const auto& of = task(number);
  const auto cycle = cycle_at(user, number, now);
  Draft draft{{user, number, cycle.name}, {}, true};
  const auto found = instances_.find(draft.where);
  if (found != instances_.end()) draft.instance = found->second;
  auto& instance = draft.instance;
  if (instance.status != Status::not_taken) {
    said.outcome = Reply::Outcome::wrong_state;
    return said;
  }
  const auto period = period_of(of, now);
  const bool none = of.unit == Unit::claim && units_[{number, period}] >= of.units;
  const bool over = of.ends && now >= *of.ends;
  const bool limit = of.per_user != 0 && taken_[{user, number}] >= of.per_user;
  if (none || over || limit) {
    said.outcome = !over && !limit   ? Reply::Outcome::out_of_stock
                   : !none && !limit ? Reply::Outcome::late
                                     : Reply::Outcome::not_eligible;
    return said;
  }
  if (found == instances_.end() || of.migrate) instance.version = version_;
  if (of.unit == Unit::claim && take_unit(number, period)) instance.unit = period;
  set_deadlines(instance, of, now, of.ends ? std::min(cycle.end, *of.ends) : cycle.end, now);
  reach(draft, progress_of(draft), Trigger::claim, now, now);
  keep(std::move(draft), now);
  return said;
}

Model::Said Model::complete(const std::string& user, int number, Timestamp now, const std::string& id) {
  Said said;
  const auto& of = task(number);
  said.outcome = Reply::Outcome::wrong_state;
  if (!of.manual_complete) return said;
  const auto found = instances_.find({user, number, cycle_of(user, number, now)});
  const bool there = found != instances_.end() && found->second.status != Status::not_taken;
  if (!of.manual_claim && !there) {
    const bool over = of.ends && now >= *of.ends;
    const bool limit = of.per_user != 0 && taken_[{user, number}] >= of.per_user;
    if (over || limit) {
      said.outcome = limit ? Reply::Outcome::not_eligible : Reply::Outcome::late;
      return said;
    }
  }
  auto& known = events_[user + "/" + id];
  if (known.gone) return said;
  Part part;
  part.user = user;
  const auto refused = contribute(user, number, part, now, now, true, known, said);
  if (refused == "late") said.outcome = Reply::Outcome::late;
  if (refused == "limit") said.outcome = Reply::Outcome::not_eligible;
  if (!refused.empty()) return said;
  said.outcome = Reply::Outcome::done;
  return said;
}

Model::Said Model::collect(const Where& where, int stage, Timestamp now) {
  Said said;
  const auto found = instances_.find(where);
  said.outcome = Reply::Outcome::wrong_state;
  if (found == instances_.end() || found->second.status == Status::not_taken) return said;
  Draft draft{where, found->second, false};
  auto& instance = draft.instance;
  const auto& of = task(where.task);
  if (of.migrate) instance.version = version_;
  const bool late = instance.collect_until && now >= *instance.collect_until;
  bool collected = false;
  bool before = false;
  bool passed = false;
  const bool tracked =
      of.manual_collect || of.clawback || of.unit == Unit::completion || of.unit == Unit::collection;
  for (auto& [number, grant] : instance.grants) {
    if ((stage != 0 && number != stage) || !tracked) continue;
    if (grant.state == State::issued || grant.state == State::out_of_stock) before = true;
    if (grant.state != State::earned) continue;
    passed = passed || late;
    if (late) continue;
    collected = true;
    if (of.unit == Unit::collection) {
      grant.period = period_of(of, now);
      grant.unit = take_unit(where.task, grant.period);
      if (!grant.unit) grant.state = State::out_of_stock;
    }
    if (grant.state == State::earned) issue(where, number, grant);
  }
  if (!collected) {
    if (before) said.outcome = Reply::Outcome::done;
    if (passed && !before) said.outcome = Reply::Outcome::late;
    return said;
  }
  move(instance, static_cast<int>(targets(where.task, instance.version).size()), Trigger::collect);
  if (instance.status != Status::completed) instance.collect_until.reset();
  said.outcome = Reply::Outcome::done;
  instances_[where] = std::move(instance);
  return said;
}

void Model::end(Draft& draft, Trigger trigger, const std::string& reason) {
  auto& instance = draft.instance;
  const bool completed = instance.status == Status::completed;
  for (auto& [stage, grant] : instance.grants) {
    if (grant.state != State::earned) continue;
    grant.state = State::voided;
    free_unit(draft.where.task, grant);
  }
  free_claim(draft);
  instance.reason = trigger == Trigger::abandon ? "abandoned" : reason;
  if (trigger == Trigger::deadline) instance.reason = completed ? "not_collected" : "not_completed";
  instance.status = trigger == Trigger::deadline ? Status::expired : Status::terminated;
}

Model::Said Model::end(const Where& where, Trigger trigger, const std::string& reason) {
  Said said;
  const auto found = instances_.find(where);
  constexpr std::array open = {Status::claimed, Status::in_progress, Status::completed, Status::revoked};
  if (found == instances_.end() || std::find(open.begin(), open.end(), found->second.status) == open.end()) {
    said.outcome = Reply::Outcome::wrong_state;
    return said;
  }
  Draft draft{where, found->second, false};
  if (task(where.task).migrate) draft.instance.version = version_;
  end(draft, trigger, reason);
  instances_[where] = std::move(draft.instance);
  return said;
}

/// What is due happens: the time of instances passes.
void Model::work(Timestamp now) {
  constexpr std::array open = {Status::claimed, Status::in_progress, Status::completed, Status::revoked};
  for (auto& [where, instance] : instances_) {
    if (std::find(open.begin(), open.end(), instance.status) == open.end()) continue;
    const auto& until = instance.status == Status::completed ? instance.collect_until : instance.expires;
    if (!until || now < *until) continue;
    Draft draft{where, std::move(instance), false};
    end(draft, Trigger::deadline, {});
    instance = std::move(draft.instance);
  }
}

std::pair<Status, std::string> Model::status(const Instance& instance) const {
  if (instance.status != Status::rewarding) return {instance.status, instance.reason};
  auto worst = Run::given;
  for (const auto& [stage, grant] : instance.grants) {
    if (grant.state == State::issued && grant.run != Run::given && worst != Run::exhausted) worst = grant.run;
  }
  if (worst == Run::given) return {Status::rewarded, {}};
  return worst == Run::refused ? std::pair(Status::failed, std::string("refused"))
                               : std::pair(Status::terminated, std::string("retry_exhausted"));
}

/// An operator's word: what ended goes on, and what was void waits again. False where no unit is left, and
/// where nothing is left to go on with.
bool Model::force_on(Draft& draft) {
  auto& instance = draft.instance;
  const auto& of = task(draft.where.task);
  const auto& goals = targets(draft.where.task, instance.version);
  const bool all = instance.reached == static_cast<int>(goals.size());
  const auto stands = [&](int stage, const Grant& grant) {
    return grant.state == State::voided && stage <= instance.reached &&
           progress_of(draft) >= goals[static_cast<std::size_t>(stage - 1)];
  };
  const bool any = std::any_of(instance.grants.begin(), instance.grants.end(),
                               [&](const auto& item) { return stands(item.first, item.second); });
  if (all && !any) return false;
  if (of.unit == Unit::claim && !instance.unit) {
    const auto period = period_of(of, *instance.claimed_at);
    if (!take_unit(draft.where.task, period)) return false;
    instance.unit = period;
  }
  for (auto& [stage, grant] : instance.grants) {
    if (!stands(stage, grant)) continue;
    ++grant.generation;
    grant.state = State::earned;
    if (of.unit != Unit::completion) continue;
    grant.unit = take_unit(draft.where.task, grant.period);
    if (!grant.unit) grant.state = State::out_of_stock;
  }
  instance.status = !all ? Status::in_progress : waits(instance) ? Status::completed : Status::rewarding;
  instance.reason.clear();
  instance.deadline.reset();
  instance.expires.reset();
  instance.collect_until.reset();
  return true;
}

void Model::replay(const std::string& user, bool force) {
  for (auto& [where, instance] : instances_) {
    if (where.owner != user) continue;
    const bool ended = instance.status == Status::terminated || instance.status == Status::expired;
    if (ended && force) {
      Draft draft{where, instance, false};
      if (!force_on(draft)) continue;
      instance = std::move(draft.instance);
    }
    for (auto& [stage, grant] : instance.grants) {
      const auto line = line_of(where, user, task(where.task).id, stage, grant.generation);
      // What is owed needs no force, whatever became of the instance.
      if (grant.state == State::issued && grant.run != Run::given && !(ended && !force)) {
        grant.run = answer(user);
        if (grant.run == Run::given) ledger_[line] = points_of(stage);
      } else if (grant.state == State::revoked && grant.owed) {
        grant.take = answer(user);
        grant.owed = grant.take != Run::given;
        if (!grant.owed) ledger_[line] = 0;
      }
    }
  }
  if (answer(user) == Run::given) {
    for (const auto& line : debts_[user]) ledger_[line] = 0;
    debts_.erase(user);
  }
  for (auto& [line, run] : memberships_[user]) {
    if (run == Run::given) continue;
    run = answer(user);
    if (run == Run::given) ledger_[line] = points_of(1);
  }
}

}  // namespace task_model
