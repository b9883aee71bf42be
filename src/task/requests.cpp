#include "task/requests.hpp"

#include <onceward/core/digest.hpp>

#include "core/utf8.hpp"
#include "task/chores.hpp"
#include "task/eligible.hpp"
#include "task/views.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace onceward::task_detail {
namespace {

constexpr std::size_t most_key = 200;
constexpr std::size_t most_text = 1024;
constexpr std::size_t fingerprint_digits = 32;

Result<void> check(Trigger trigger, const Request& request) {
  const auto wrong = [&](std::string_view what, std::string_view why) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("{} of task \"{}\" for user \"{}\": its {} {}", to_string(trigger), request.task,
                            request.user, what, why));
  };
  const auto bounded = [](const std::string& text, std::size_t most) {
    return !text.empty() && text.size() <= most &&
           core_detail::first_not_utf8(text) == std::string_view::npos;
  };
  if (!bounded(request.key, most_key)) return wrong("key", "must be 1 to 200 bytes of UTF-8");
  if (!bounded(request.user, 128)) return wrong("user", "must be 1 to 128 bytes of UTF-8");
  if (request.task.size() > 64 || request.cycle.size() > 64) return wrong("task or cycle", "is too long");
  if (request.at && (*request.at < earliest || *request.at >= latest))
    return wrong("time", "lies outside 1900 to 2099");
  for (const auto* text : {&request.actor, &request.reason}) {
    if (!text->empty() && !bounded(*text, most_text))
      return wrong("actor or reason", "is too long or no UTF-8");
  }
  if (trigger == Trigger::withdraw && (request.actor.empty() || request.reason.empty()))
    return wrong("actor and reason", "must be given");
  return {};
}

std::string fingerprint_of(Trigger trigger, const Request& request) {
  List parts{to_string(trigger), request.task, request.cycle, request.stage, request.actor, request.reason};
  if (request.at) parts.push_back(std::int64_t{request.at->time_since_epoch().count()});
  return sha256_hex(Value(std::move(parts)).to_json()).substr(0, fingerprint_digits);
}

std::string key_of(Trigger trigger, const Request& request) {
  // What was completed can be taken back, as an event can.
  return trigger == Trigger::complete ? event_key(std::string(completion_prefix) + request.key)
                                      : "request/" + request.key;
}

Reply::Outcome outcome_of(std::string_view reason) noexcept {
  if (reason == "late") return Reply::Outcome::late;
  if (reason == "limit" || reason == "not_eligible") return Reply::Outcome::not_eligible;
  return Reply::Outcome::wrong_state;
}

}  // namespace

Result<Requests::Asked> Requests::ask(Trigger trigger, const Request& request) {
  if (auto checked = check(trigger, request); !checked) return fail(std::move(checked).error());
  Asked asked{&request, merchants_.find(request.merchant), {nullptr, nullptr, 0, false}};
  if (asked.merchant != nullptr) {
    if (const auto* task = asked.merchant->in_force(request.task)) {
      asked.entry = {&asked.merchant->campaign(), task, 0, true};
    } else if (const auto known = asked.merchant->versions.find(request.task);
               known != asked.merchant->versions.end()) {
      const auto& any = known->second.rbegin()->second;
      asked.entry = {any.campaign, any.task, 0, false};
    }
  }
  if (asked.entry.task == nullptr) {
    return fail(ErrorCode::not_found,
                fmt::format("the merchant \"{}\" has no task \"{}\"", request.merchant, request.task));
  }
  const auto& task = *asked.entry.task;
  asked.partition = user_partition(request.merchant, request.user);
  const auto request_key = key_of(trigger, request);
  const auto anchor = anchor_key(request.task);
  const RecordRef refs[] = {{asked.partition, request_key}, {asked.partition, anchor}};
  const auto stored = storage_.read(std::span(refs).first(task.own_cycles ? 2 : 1));
  if (!stored) return fail(stored.error());
  if (stored->records[0]) {
    // Without a fingerprint: taken back before it was asked.
    auto before = decode_event(*stored->records[0]);
    if (!before) return fail(std::move(before).error());
    asked.known = !before->fingerprint.empty();
    asked.kept_cycle = std::move(before->cycle);
    if (asked.kept_cycle.empty() && !before->contributions.empty())
      asked.kept_cycle = std::move(before->contributions.front().cycle);
    if (asked.kept_cycle.empty() && !before->grants.empty())
      asked.kept_cycle = std::move(before->grants.front().cycle);
  }
  asked.now = asked_at_ = stored->now;
  asked.at = request.at.value_or(stored->now);
  auto calendar = Result<Calendar>(task.calendar);
  if (task.own_cycles) {
    if (options_.profile && task.definition->user_zone) {
      auto profile = options_.profile(request.merchant, request.user);
      if (!profile) return fail(std::move(profile).error());
      asked.zone = profile->timezone;
    }
    Anchor where{asked.zone, asked.at};
    if (stored->records[1]) {
      auto known = decode_anchor(*stored->records[1]);
      if (!known) return fail(std::move(known).error());
      where = *std::move(known);
    }
    calendar = calendar_of(*asked.entry.campaign, task, where);
    if (!calendar) return fail(std::move(calendar).error());
  }
  const auto number = calendar->number_of(asked.at);
  const auto named = request.cycle.empty() ? std::optional(number) : calendar->number_named(request.cycle);
  asked.cycle = request.cycle.empty() ? calendar->name_of(number) : request.cycle;
  asked.cycle_exists = named.has_value();
  asked.cycle_end = calendar->end_of(named.value_or(number));
  if (named && *named > number)
    asked.other_cycle = Cause{"not_started", "the cycle has not begun", calendar->begin_of(*named)};
  if (named && *named < number) asked.other_cycle = Cause{"ended", "the cycle is over"};
  return asked;
}

Result<std::optional<InstanceView>> Requests::view_of(const Asked& asked, Beside* beside) {
  const ViewWanted wanted{asked.merchant.get(), asked.partition, asked.request->user, asked.request->task,
                          asked.cycle};
  auto views = read_views(storage_, {&wanted, 1}, beside);
  if (!views) return fail(std::move(views).error());
  return std::move(views->front());
}

/// The todo under which a request's unit is taken. Callers of one request share it, so that none of them
/// finds the last unit gone that another one of them has; after one that lapsed comes the next number.
Todo Requests::unit_todo(const Asked& asked, std::size_t number) {
  const auto& definition = *asked.entry.task->definition;
  const auto& request = *asked.request;
  Todo todo{Todo::Kind::claim, {request.merchant, request.user, request.task, asked.cycle}};
  todo.version = definition.version;
  todo.period = quota_period(asked.entry, asked.at);
  todo.unit = fmt::format("{}/{}/{}", unit_name(todo.grant),
                          sha256_hex(request.key).substr(0, fingerprint_digits), number);
  return todo;
}

/// Whether another caller with this key is at it, or has done it meanwhile.
Result<bool> Requests::met(Trigger trigger, const Asked& asked) {
  const auto request = key_of(trigger, *asked.request);
  const auto& quota = asked.entry.task->definition->quota;
  const bool has_unit = trigger == Trigger::claim && quota && quota->at == QuotaAt::claim;
  const auto unit = has_unit ? todo_key(unit_todo(asked, 0)) : request;
  // Read at one moment: the batch that removes the todo writes the request.
  const RecordRef refs[] = {{asked.partition, unit}, {asked.partition, request}};
  const auto stored = storage_.read(refs);
  if (!stored) return fail(stored.error());
  if (has_unit && stored->records[0]) return true;
  if (!stored->records[1]) return false;
  const auto known = decode_event(*stored->records[1]);
  if (!known) return fail(known.error());
  // Without a fingerprint: taken back before it was asked.
  return !known->fingerprint.empty();
}

/// The unit of a quota at the claim: taken before the instance is there, under a todo that gives it back
/// where this process dies. The instance's batch removes that todo: once it lapsed, the batch is refused, and
/// its unit is marked, so that nobody takes it any more.
Result<std::optional<WaitingTodo>> Requests::take_unit(const Asked& asked, bool& out_of_stock) {
  const auto& definition = *asked.entry.task->definition;
  if (!definition.quota || definition.quota->at != QuotaAt::claim) return std::optional<WaitingTodo>();
  const auto& request = *asked.request;
  Chores chores(storage_, runner_, options_);
  for (std::size_t number = 0; number <= options_.conflict_retries; ++number) {
    const auto todo = unit_todo(asked, number);
    auto back = todo;
    back.kind = Todo::Kind::return_unit;
    WaitingTodo waiting{0,    WaitingTodo::no_grant, asked.partition, todo_key(todo), absent,
                        todo, asked.merchant};
    const auto noted =
        commit_one(storage_, {asked.partition,
                              {Operation::require(key_of(Trigger::claim, request), absent),
                               Operation::require(todo_key(back), absent),
                               Operation::insert(waiting.key, encode(todo), {.due_in = options_.lease})}});
    if (!noted) return fail(noted.error());
    // Refused: the request is answered already, or this unit is being given back, or another caller has it.
    if (!noted->applied() && noted->refused == 0) return std::optional<WaitingTodo>();
    if (!noted->applied() && noted->refused == 1) continue;
    waiting.revision = noted->applied() ? noted->revision : noted->found->revision;
    const auto taken =
        commit_one(storage_, {quota_partition(request.merchant, request.task),
                              {Operation::insert(fmt::format("unit/{}/{}", todo.period, todo.unit), "1"),
                               Operation::add("count/" + todo.period, 1, 0, definition.quota->limit)}});
    if (!taken) return fail(taken.error());
    if (taken->applied() || (taken->refused == 0 && taken->found->value == "1"))
      return std::optional(std::move(waiting));
    out_of_stock = taken->refused != 0;
    // Also where there was none: who shares the todo takes none under it any more.
    if (auto lapsed = chores.lapse({&waiting, 1}); !lapsed) return fail(std::move(lapsed).error());
    if (out_of_stock) return std::optional<WaitingTodo>();
  }
  return fail(ErrorCode::timeout,
              fmt::format("request \"{}\" of user \"{}\" met other callers all the time; nothing was done, "
                          "ask again",
                          request.key, request.user));
}

Result<std::optional<WaitingTodo>> Requests::take_unit_again(const Request& request, const IndexEntry& entry,
                                                             Timestamp claimed, bool& out_of_stock) {
  return take_unit({&request, merchants_.find(request.merchant), entry,
                    user_partition(request.merchant, request.user), request.cycle, claimed},
                   out_of_stock);
}

PendingEvent Requests::pending_of(Trigger trigger, const Asked& asked, const Event& event) const {
  const auto& request = *asked.request;
  PendingEvent pending{0,
                       &event,
                       asked.merchant,
                       user_owner(request.user),
                       asked.partition,
                       key_of(trigger, request),
                       fingerprint_of(trigger, request),
                       {}};
  pending.zone = asked.zone;
  pending.act = Act{trigger, request.stage, request.actor, request.reason};
  pending.candidates.push_back({&asked.entry, asked.cycle, {}, {}, true});
  return pending;
}

Result<Reply> Requests::run(Trigger trigger, const Request& request) {
  auto asked = ask(trigger, request);
  if (!asked) return fail(asked.error());
  // The same key is for the same cycle, whenever it is asked again.
  if (!asked->kept_cycle.empty()) asked->cycle = asked->kept_cycle;
  Reply reply{.task = request.task, .cycle = asked->cycle};
  const auto& definition = *asked->entry.task->definition;
  if (trigger == Trigger::complete && definition.complete != Mode::manual) {
    reply.outcome = Reply::Outcome::wrong_state;
    reply.causes.push_back({"wrong_state", "the task is completed by events alone"});
    return reply;
  }
  std::optional<WaitingTodo> unit;
  const bool begins =
      trigger == Trigger::claim || (trigger == Trigger::complete && definition.claim == Mode::automatic);
  if (begins && !asked->known) {
    auto causes = causes_of(*asked, reply.view);
    if (!causes) return fail(std::move(causes).error());
    // A unit that is taken later may have come back by then.
    if (definition.quota && definition.quota->at != QuotaAt::claim)
      std::erase_if(*causes, [](const Cause& cause) { return cause.code == "out_of_stock"; });
    const bool taken = trigger == Trigger::claim && reply.view;
    if (taken || (!causes->empty() && !reply.view)) {
      const auto faster = met(trigger, *asked);
      if (!faster) return fail(faster.error());
      if (!*faster) {
        reply.outcome = taken ? Reply::Outcome::wrong_state : outcome_of(*causes);
        if (!taken) reply.causes = *std::move(causes);
        return reply;
      }
    }
    if (trigger == Trigger::claim) {
      bool out_of_stock = false;
      auto own = take_unit(*asked, out_of_stock);
      if (!own) return fail(std::move(own).error());
      unit = *std::move(own);
      if (out_of_stock) {
        reply.outcome = Reply::Outcome::out_of_stock;
        reply.causes.push_back(stock_cause(asked->entry, asked->at));
        return reply;
      }
    }
  }
  const Event event{request.merchant, request.key, request.user, "request", asked->at};
  std::vector<PendingEvent> pending;
  pending.push_back(pending_of(trigger, *asked, event));
  pending.front().act->unit = unit;
  Result<Receipt> answer;
  Reporter(storage_, runner_, options_, drives_).report(std::move(pending), {&answer, 1});
  const bool refused = answer && !answer->skipped.empty();
  if (unit && (!answer || refused || answer->duplicate)) {
    // Not needed: another caller was faster. Where this fails it lapses.
    (void)Chores(storage_, runner_, options_).lapse({&*unit, 1});
  }
  if (!answer) return fail(answer.error());
  if (answer->duplicate && !asked->known) {
    // Another caller with this key was faster, perhaps before midnight.
    const auto faster = ask(trigger, request);
    if (!faster) return fail(faster.error());
    if (!faster->kept_cycle.empty()) reply.cycle = asked->cycle = faster->kept_cycle;
  }
  if (refused) reply.outcome = outcome_of(answer->skipped.front().reason);
  reply.replayed = answer->duplicate;
  reply.grants = std::move(answer->grants);
  auto view = view_of(*asked);
  if (!view) return fail(std::move(view).error());
  reply.view = *std::move(view);
  return reply;
}

}  // namespace onceward::task_detail
