#include <onceward/pipeline/timeline.hpp>

#include "pipeline/show.hpp"
#include "pipeline/stored_run.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace onceward {

using pipeline_detail::Instant;
using pipeline_detail::Place;
using pipeline_detail::Run;
using pipeline_detail::Status;

namespace {

constexpr std::size_t most_detail = 200;

std::optional<Timestamp> time_of(const Instant& instant) {
  if (!instant.set() || instant.relative) return std::nullopt;
  return Timestamp(Duration(instant.us));
}

class Teller {
 public:
  explicit Teller(Timeline& timeline) : timeline_(timeline) {}

  void tell(const Run& run, const Record& record) {
    add(time_of(run.begun), "started", "", "", run.input.to_json());
    each_place(run, [&](const std::string& path, const Place& place) { tell(path, place); });
    for (const auto& forgotten : run.forgotten) tell(forgotten.place.id, forgotten.place);
    for (const auto& act : run.acts) {
      auto detail = act.reason;
      if (!act.before.empty() || !act.after.empty())
        detail += fmt::format(" ({} -> {})", act.before, act.after);
      add(act.at, act.act, act.path, act.actor, std::move(detail));
    }
    std::stable_sort(timeline_.entries.begin(), timeline_.entries.end(), [](const auto& a, const auto& b) {
      return a.at.value_or(Timestamp::max()) < b.at.value_or(Timestamp::max());
    });
    if (run.state != RunState::running)
      add(Timestamp(Duration(record.revision)), std::string(to_string(run.state)), "", "", run.reason);
  }

 private:
  void add(std::optional<Timestamp> at, std::string what, std::string path, std::string who,
           std::string detail) {
    timeline_.entries.push_back({at, std::move(what), std::move(path),
                                 who.empty() ? "worker" : std::move(who),
                                 pipeline_detail::one_line(detail, most_detail)});
  }
  void tell(const std::string& path, const Place& place) {
    if (place.digest != 0) add(time_of(place.started), "begun", path, "", "");
    if (place.status == Status::undone) {
      // One in doubt was undone without having been done.
      if (!place.value.is_null()) add(time_of(place.over), "done", path, "", place.value.to_json());
      add(time_of(place.back), "undone", path, "", "");
    } else if (pipeline_detail::ended(place.status)) {
      const bool done = place.status == Status::done;
      add(time_of(place.over), std::string(to_string(place.status)), path, "",
          !done                   ? detail_of(place)
          : place.value.is_null() ? std::string()
                                  : place.value.to_json());
    } else if (place.children.empty()) {
      auto detail = pipeline_detail::place_shown(place);
      if (const auto due = time_of(place.due)) detail += " until " + pipeline_detail::time_shown(*due);
      add(std::nullopt, "now", path, "", std::move(detail));
    }
  }
  static std::string detail_of(const Place& place) {
    const auto shown = pipeline_detail::place_shown(place);
    const auto word = to_string(place.status).size();
    return shown.size() > word + 2 ? shown.substr(word + 2) : std::string();
  }

  Timeline& timeline_;
};

}  // namespace

Result<Timeline> timeline(Storage& storage, const RunName& name) {
  const auto stored = pipeline_detail::read_run(storage, name);
  if (!stored) return fail(stored.error());
  Timeline timeline{name, stored->run.version, stored->run.state, {}};
  Teller(timeline).tell(stored->run, stored->record);
  return timeline;
}

std::string to_text(const Timeline& timeline) {
  auto text = fmt::format("{} of {}, {}, version {}: {}\n", pipeline_detail::one_line(timeline.run.key),
                          pipeline_detail::one_line(timeline.run.pipeline),
                          pipeline_detail::one_line(timeline.run.partition),
                          pipeline_detail::one_line(timeline.version), to_string(timeline.state));
  pipeline_detail::TextTable table({"when", "what", "where", "who", "detail"});
  for (const auto& entry : timeline.entries) {
    table.add({entry.at ? pipeline_detail::time_shown(*entry.at) : "-", entry.what, entry.path, entry.who,
               entry.detail});
  }
  return text + table.text();
}

}  // namespace onceward
