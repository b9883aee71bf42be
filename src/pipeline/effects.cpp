// The interpreter: steps, timers, signals and values.
#include <onceward/core/digest.hpp>
#include <onceward/core/timestamp.hpp>

#include "pipeline/storable.hpp"
#include "pipeline/walk.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace onceward::pipeline_detail {

Result<Value> Walk::arguments_of(const Node& node) {
  const Names names(level_, within_, node.reads_steps);
  Map arguments;
  arguments.reserve(node.arguments.size());
  for (const auto& argument : node.arguments) {
    auto value = argument.expression.evaluate(names);
    if (!value) {
      auto error = std::move(value).error();
      error.message =
          fmt::format("step \"{}\", argument \"{}\": {}", node.id(), argument.name, error.message);
      return onceward::fail(std::move(error));
    }
    if (value->is_null() ? argument.required : value->kind() != argument.kind) {
      return onceward::fail(
          ErrorCode::wrong_kind,
          fmt::format("step \"{}\", argument \"{}\" is {}, {} wants {}", node.id(), argument.name,
                      to_string(value->kind()), node.definition->uses, to_string(argument.kind)));
    }
    arguments.set(argument.name, *std::move(value));
  }
  return Value(std::move(arguments));
}

void Walk::remember(Place& place, const std::string& path) {
  if (run_.sent.empty() || place.digest != 0) return;
  const auto sent =
      std::find_if(run_.sent.begin(), run_.sent.end(), [&](const Sent& s) { return s.path == path; });
  if (sent == run_.sent.end()) return;
  place.digest = sent->digest;
  place.started = sent->started;
  place.in_doubt = true;
}

bool Walk::rows_are_there(Place& place, const std::string& path) {
  const auto before = std::find_if(run_.forgotten.begin(), run_.forgotten.end(), [&](const Forgotten& f) {
    return f.place.id == path && f.place.status == Status::done;
  });
  if (before == run_.forgotten.end()) return false;
  place.in_doubt = false;
  done(place, std::move(before->place.value));
  run_.forgotten.erase(before);
  return true;
}

End Walk::visit_step(const Node& node, Place& place) {
  if (place.status == Status::active) return End::running;
  if (place.status == Status::waiting && !place.due.reached(now_)) {
    note(place.due);
    return End::running;
  }
  if (room_ == 0) {
    note(Instant::after({}));
    return End::running;
  }
  auto arguments = arguments_of(node);
  if (!arguments) return stuck(describe(arguments.error()));
  auto path = path_ + place.id;
  remember(place, path);
  std::string json;
  arguments->append_json(json);
  auto digest = static_cast<std::int64_t>(stable_hash(json) >> 1);
  digest += digest == 0 ? 1 : 0;
  if (place.digest != 0 && place.digest != digest) {
    return stuck(
        fmt::format("arguments_changed: step \"{}\" was called with other arguments before; its token "
                    "names that effect, so it is not called again",
                    path));
  }
  const auto& spec = node.entry->spec;
  if (spec.effect == Effect::tx && rows_are_there(place, path)) return End::done;
  const bool forgotten = place.in_doubt && spec.effect != Effect::pure && place.started.set() &&
                         !place.started.relative &&
                         now_.time_since_epoch().count() - place.started.us > spec.dedup_window.count();
  if (place.attempt == 0) place.attempt = 1;
  if (!place.started.set()) place.started = Instant::after({});
  if (!place.since.set() && node.definition->total > Duration::zero()) place.since = Instant::after({});
  place.digest = digest;
  place.status = Status::active;
  place.due = {};
  --room_;
  calls_.push_back({forgotten ? Call::Kind::verify : Call::Kind::act, &node, &place, std::move(path),
                    *std::move(arguments)});
  return End::running;
}

bool Walk::settle(const Node& node, Place& place) {
  bool more = false;
  for (std::size_t i = 0; i < place.children.size(); ++i) {
    go_into(node, place, i, [&](const Node& below, Place& inside) { more = settle(below, inside) || more; });
    if (attention_) return true;
  }
  if (node.kind != StepKind::step || !is_in_doubt(place)) return more;
  if (place.status == Status::cancelled) place.status = Status::waiting;
  visit_step(node, place);
  return true;
}

End Walk::visit_wait(const Node& node, Place& place) {
  if (place.status == Status::fresh) {
    if (node.value) {
      const auto until = evaluate(node, *node.value);
      if (!until) return stuck(node, "until", until.error());
      std::optional<Timestamp> time;
      if (until->string() != nullptr)
        time = parse_timestamp(*until->string());
      else if (until->integer() != nullptr)
        time = Timestamp(Duration(*until->integer()));
      if (!time) return stuck(fmt::format("step \"{}\": until is no time", node.id()));
      place.due = {std::max<std::int64_t>(time->time_since_epoch().count(), 1), false};
    } else {
      place.due = Instant::after(node.definition->total);
    }
    place.status = Status::waiting;
  }
  if (place.due.reached(now_)) return done(place);
  note(place.due);
  return End::running;
}

End Walk::visit_await(const Node& node, Place& place) {
  const auto& name = node.definition->code;
  const auto sent = std::find_if(run_.requests.begin(), run_.requests.end(),
                                 [&](const Request& request) { return request.name == name; });
  if (sent != run_.requests.end()) {
    run_.taken.push_back(sent->name + "/" + sent->id);
    auto payload = std::move(sent->payload);
    run_.requests.erase(sent);
    return done(place, std::move(payload));
  }
  if (place.status == Status::fresh) {
    place.status = Status::awaiting;
    place.value = name;
    if (node.definition->total > Duration::zero()) place.due = Instant::after(node.definition->total);
  }
  if (!place.due.set()) return End::running;
  if (place.due.reached(now_))
    return fail(place, "timeout", fmt::format("the signal \"{}\" did not come", name));
  note(place.due);
  return End::running;
}

End Walk::visit_value(const Node& node, Place& place) {
  auto value = evaluate(node, *node.value);
  if (!value) return stuck(node, "value", value.error());
  if (!is_storable(*value)) return stuck(fmt::format("step \"{}\": its value cannot be stored", node.id()));
  // That of a called pipeline is found when it ends.
  if (node.kind == StepKind::result && level_.place == &run_.root) run_.result = *value;
  return done(place, *std::move(value));
}

}  // namespace onceward::pipeline_detail
