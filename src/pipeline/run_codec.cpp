#include "pipeline/record_writer.hpp"
#include "pipeline/run_state.hpp"
#include "pipeline/storable.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace onceward::pipeline_detail {
namespace {

constexpr std::int64_t most_counted = 1'000'000;  // of attempts and deaths; a record with more is not ours
constexpr std::size_t most_counting = 64;         // retry rules: more than a plan may have
constexpr std::size_t most_nested = 400;
constexpr std::array<std::string_view, 5> state_names = {"running", "succeeded", "failed", "needs_attention",
                                                         "cancelled"};
constexpr std::array<std::string_view, 12> status_names = {"fresh",     "active",  "waiting",      "awaiting",
                                                           "open",      "done",    "skipped",      "failed",
                                                           "cancelled", "undoing", "undo_waiting", "undone"};
constexpr std::array<std::string_view, 5> role_names = {"id", "item", "branch", "call", "finally"};

bool ended_without_rest(const Place& place) noexcept { return ended(place.status) && !place.in_doubt; }

void write_place(const Place& place, Text& out) {
  Writer writer(out);
  out.put('{');
  writer.text(role_names[static_cast<std::size_t>(place.role)], place.id);
  if (place.status == Status::skipped) {
    writer.flag("skipped");
  } else if (place.status == Status::done) {
    writer.value("result", place.value);
  } else {
    writer.text("is", status_names[static_cast<std::size_t>(place.status)]);
    if (!place.value.is_null()) writer.value("value", place.value);
  }
  if (place.attempt > 1 || (place.attempt == 1 && !ended(place.status)))
    writer.number("attempt", place.attempt);
  if (!place.ruled.empty() && !ended_without_rest(place))
    writer.value("ruled", List(place.ruled.begin(), place.ruled.end()));
  if (place.deaths > 0) writer.number("deaths", place.deaths);
  if (place.in_doubt) writer.flag("doubt");
  if (place.undo_doubt) writer.flag("undo_doubt");
  if (place.digest != 0) writer.number("args", place.digest);
  // A call that begins with this write is the usual case, and the shortest to store.
  if (!(place.started.relative && place.started.us == 0)) writer.instant("from", place.started);
  if (!ended(place.status)) writer.instant("since", place.since);
  if (!ended_without_rest(place)) writer.instant("due", place.due);
  writer.instant("to", place.over);
  writer.instant("back", place.back);
  // What is within it follows it in the same list: a run may nest deeper than a JSON text may.
  if (!place.children.empty()) writer.number("in", static_cast<std::int64_t>(place.children.size()));
  out.put('}');
  for (const auto& child : place.children) {
    out.put(',');
    write_place(child, out);
  }
}

const std::string* text(const Value& value, std::string_view name) {
  const auto* member = value.find(name);
  return member == nullptr ? nullptr : member->string();
}
std::int64_t number(const Value& value, std::string_view name, std::int64_t otherwise) {
  const auto* member = value.find(name);
  return member == nullptr || member->integer() == nullptr ? otherwise : *member->integer();
}
bool flag(const Value& value, std::string_view name) {
  const auto* member = value.find(name);
  return member != nullptr && member->boolean() != nullptr && *member->boolean();
}
Instant instant(const Value& value, const std::string& name) {
  if (const auto* member = value.find(name); member != nullptr && member->integer() != nullptr)
    return {*member->integer(), false};
  if (const auto* member = value.find(name + "_in"); member != nullptr && member->integer() != nullptr)
    return {*member->integer(), true};
  return {};
}

bool read_ruled(const Value& value, std::vector<int>& ruled) {
  const auto* member = value.find("ruled");
  if (member == nullptr) return true;
  if (member->list() == nullptr || member->list()->size() > most_counting) return false;
  for (const auto& count : *member->list()) {
    const auto* number = count.integer();
    if (number == nullptr || *number < 0 || *number > most_counted) return false;
    ruled.push_back(static_cast<int>(*number));
  }
  return true;
}

/// Reads the place at `at` and those within it, and moves on behind them.
bool read_place(const List& list, std::size_t& at, Place& place, std::size_t depth) {
  if (depth > most_nested || at >= list.size()) return false;
  const auto& value = list[at++];
  const std::string* id = nullptr;
  for (std::size_t role = 0; role < role_names.size() && id == nullptr; ++role) {
    id = text(value, role_names[role]);
    place.role = static_cast<Role>(role);
  }
  if (id == nullptr) return false;
  place.id = *id;
  if (flag(value, "skipped")) {
    place.status = Status::skipped;
  } else if (const auto* result = value.find("result")) {
    place.status = Status::done;
    place.value = *result;
  } else {
    const auto* is = text(value, "is");
    if (is == nullptr) return false;
    const auto found = std::find(status_names.begin(), status_names.end(), *is);
    if (found == status_names.end()) return false;
    place.status = static_cast<Status>(found - status_names.begin());
    if (const auto* inside = value.find("value")) place.value = *inside;
  }
  const auto attempt = number(value, "attempt", 0);
  const auto deaths = number(value, "deaths", 0);
  if (attempt < 0 || attempt > most_counted || deaths < 0 || deaths > most_counted) return false;
  if (!read_ruled(value, place.ruled)) return false;
  place.attempt = static_cast<int>(attempt);
  place.deaths = static_cast<int>(deaths);
  place.in_doubt = flag(value, "doubt");
  place.undo_doubt = flag(value, "undo_doubt");
  place.digest = number(value, "args", 0);
  place.started = instant(value, "from");
  if (!place.started.set() && place.digest != 0) place.started = {0, true};
  place.since = instant(value, "since");
  place.due = instant(value, "due");
  place.over = instant(value, "to");
  place.back = instant(value, "back");
  const auto inside = number(value, "in", 0);
  if (inside < 0 || static_cast<std::size_t>(inside) > list.size() - at) return false;
  for (std::int64_t i = 0; i < inside; ++i) {
    if (!read_place(list, at, place.children.emplace_back(), depth + 1)) return false;
  }
  return true;
}

void write_rest(const Run& run, Text& out) {
  Writer writer(out);
  if (run.undoing) writer.flag("undoing");
  if (!run.cause.empty()) writer.text("cause", run.cause);
  if (run.cancelled) writer.flag("cancelled");
  if (run.late) writer.flag("late");
  if (!run.result.is_null()) writer.value("result", run.result);
  writer.instant("deadline", run.deadline);
  if (!(run.begun.relative && run.begun.us == 0)) writer.instant("begun", run.begun);
  if (!run.turn.empty()) writer.text("turn", run.turn);
  // An ended run has given its turn back with the write that ended it.
  if (run.turn_revision != 0 && run.state == RunState::running)
    writer.number("turn_revision", run.turn_revision);
  if (run.next_request > 1) writer.number("next", run.next_request);
  if (!run.requests.empty()) {
    List list;
    for (const auto& request : run.requests)
      list.push_back(List{request.number, request.name, request.id, request.payload});
    writer.value("requests", list);
  }
  if (!run.taken.empty()) writer.value("taken", List(run.taken.begin(), run.taken.end()));
  if (!run.sent.empty()) {
    List list;
    for (const auto& sent : run.sent) list.push_back(List{sent.path, sent.digest, sent.started.us});
    writer.value("sent", list);
  }
  if (!run.forgotten.empty()) {
    writer.head("forgotten");
    for (const auto& [place, arguments] : run.forgotten) {
      out.put(&place == &run.forgotten.front().place ? '[' : ',');
      write_place(place, out);
      out.put(',');
      out.put(arguments.to_json());
    }
    out.put(']');
  }
  if (!run.acts.empty()) {
    List list;
    for (const auto& act : run.acts)
      list.push_back(List{act.act, act.actor, act.reason, act.path, act.before, act.after,
                          std::int64_t{act.at.time_since_epoch().count()}});
    writer.value("acts", list);
  }
}

/// Of a list of lists, each of at least so many members; null where it is none.
const List* rows(const Value& value, std::string_view name, std::size_t members, bool& fine) {
  const auto* member = value.find(name);
  if (member == nullptr) return nullptr;
  fine = fine && member->list() != nullptr &&
         std::all_of(member->list()->begin(), member->list()->end(), [&](const Value& row) {
           return row.list() != nullptr && row.list()->size() >= members;
         });
  return fine ? member->list() : nullptr;
}
std::string text_at(const Value& row, std::size_t at) {
  const auto* text = (*row.list())[at].string();
  return text == nullptr ? std::string() : *text;
}
std::int64_t number_at(const Value& row, std::size_t at) {
  const auto* number = (*row.list())[at].integer();
  return number == nullptr ? 0 : *number;
}

bool read_forgotten(const Value& value, Run& run) {
  if (value.list() == nullptr) return false;
  const auto& list = *value.list();
  for (std::size_t at = 0; at < list.size();) {
    auto& forgotten = run.forgotten.emplace_back();
    if (!read_place(list, at, forgotten.place, 0) || at == list.size()) return false;
    forgotten.arguments = list[at++];
  }
  return true;
}

bool read_rest(const Value& value, Run& run) {
  bool fine = true;
  run.undoing = flag(value, "undoing");
  if (const auto* cause = text(value, "cause")) run.cause = *cause;
  // Before there was a cause of its own the reason told it.
  if (run.undoing && run.cause.empty()) run.cause = run.reason;
  run.cancelled = flag(value, "cancelled");
  run.late = flag(value, "late");
  if (const auto* result = value.find("result")) run.result = *result;
  run.deadline = instant(value, "deadline");
  run.begun = instant(value, "begun");
  if (!run.begun.set()) run.begun = {0, true};
  if (const auto* turn = text(value, "turn")) run.turn = *turn;
  run.turn_revision = number(value, "turn_revision", 0);
  run.next_request = number(value, "next", 1);
  if (const auto* list = rows(value, "requests", 4, fine)) {
    for (const auto& row : *list)
      run.requests.push_back({number_at(row, 0), text_at(row, 1), text_at(row, 2), (*row.list())[3]});
  }
  if (const auto* taken = value.find("taken"); taken != nullptr && taken->list() != nullptr) {
    for (const auto& id : *taken->list()) run.taken.push_back(id.string() == nullptr ? "" : *id.string());
  }
  if (const auto* list = rows(value, "sent", 3, fine)) {
    for (const auto& row : *list)
      run.sent.push_back({text_at(row, 0), number_at(row, 1), {number_at(row, 2), false}});
  }
  if (const auto* member = value.find("forgotten")) fine = fine && read_forgotten(*member, run);
  if (const auto* list = rows(value, "acts", 7, fine)) {
    for (const auto& row : *list)
      run.acts.push_back({text_at(row, 0), text_at(row, 1), text_at(row, 2), text_at(row, 3), text_at(row, 4),
                          text_at(row, 5), Timestamp(Duration(number_at(row, 6)))});
  }
  return fine;
}

Unexpected corrupt(const Record& record) {
  return fail(
      ErrorCode::corrupt,
      fmt::format("the run \"{}\" is not what this version writes; look at it before going on", record.key));
}

void anchor(Instant& instant, std::int64_t written) noexcept {
  if (instant.relative) instant = {written + instant.us, false};
}
void anchor(Place& place, std::int64_t written) noexcept {
  anchor(place.started, written);
  anchor(place.since, written);
  anchor(place.due, written);
  anchor(place.over, written);
  anchor(place.back, written);
  for (auto& child : place.children) anchor(child, written);
}

void stamp(Place& place) noexcept {
  if (ended(place.status)) {
    if (!place.over.set()) place.over = Instant::after({});
    if (place.status == Status::undone && !place.back.set()) place.back = Instant::after({});
  } else if (place.status != Status::undoing && place.status != Status::undo_waiting) {
    place.over = {};
  }
  for (auto& child : place.children) stamp(child);
}

}  // namespace

void stamp(Run& run) noexcept {
  for (auto& place : run.root.children) stamp(place);
  for (auto& forgotten : run.forgotten) stamp(forgotten.place);
}

std::string encode(const Run& run) {
  // Copied at the end: what is stored has no byte more than it needs.
  thread_local Text out;
  out.clear();
  out.put('{');
  Writer writer(out);
  writer.text("pipeline", run.pipeline);
  writer.text("version", run.version);
  writer.text("plan", run.plan);
  writer.text("state", state_names[static_cast<std::size_t>(run.state)]);
  writer.text("owner", run.owner);
  writer.number("serial", run.serial);
  if (run.due_in >= 0) writer.number("due_in", run.due_in);
  if (!run.reason.empty()) writer.text("reason", run.reason);
  writer.value("input", run.input);
  write_rest(run, out);
  writer.head("steps");
  out.put('[');
  for (const auto& place : run.root.children) {
    if (out.last() != '[') out.put(',');
    write_place(place, out);
  }
  out.put("]}");
  return std::string(out.view());
}

Result<Run> decode_run(const Record& record) {
  const auto value = Value::from_json(record.value);
  if (!value) return corrupt(record);
  const auto* pipeline = text(*value, "pipeline");
  const auto* version = text(*value, "version");
  const auto* plan = text(*value, "plan");
  const auto* state = text(*value, "state");
  const auto* owner = text(*value, "owner");
  const auto* input = value->find("input");
  const auto* steps = value->find("steps");
  if (!pipeline || !version || !plan || !state || !owner || !input || !input->map() || !steps ||
      !steps->list())
    return corrupt(record);
  const auto place = std::find(state_names.begin(), state_names.end(), *state);
  if (place == state_names.end()) return corrupt(record);
  Run run;
  run.pipeline = *pipeline;
  run.version = *version;
  run.plan = *plan;
  run.state = static_cast<RunState>(place - state_names.begin());
  run.owner = *owner;
  run.serial = number(*value, "serial", 0);
  run.due_in = number(*value, "due_in", -1);
  if (const auto* reason = text(*value, "reason")) run.reason = *reason;
  run.input = *input;
  run.root.status = run.state == RunState::running ? Status::open : Status::done;
  for (std::size_t at = 0; at < steps->list()->size();) {
    if (!read_place(*steps->list(), at, run.root.children.emplace_back(), 0)) return corrupt(record);
  }
  if (!read_rest(*value, run)) return corrupt(record);
  if (run.turn_revision == turn_of_this_write) run.turn_revision = record.revision;
  return run;
}

void anchor(Run& run, Timestamp written) noexcept {
  const std::int64_t at = written.time_since_epoch().count();
  anchor(run.begun, at);
  anchor(run.deadline, at);
  for (auto& place : run.root.children) anchor(place, at);
  for (auto& forgotten : run.forgotten) anchor(forgotten.place, at);
}

void anchor(Run& run, const Record& record) noexcept {
  // A revision is the storage's time of its write, or a little more.
  anchor(run, record.due && run.due_in >= 0 ? *record.due - Duration(run.due_in)
                                            : Timestamp(Duration(record.revision)));
}

}  // namespace onceward::pipeline_detail
