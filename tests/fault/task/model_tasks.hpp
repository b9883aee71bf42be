#pragma once
#include "unit/task/support.hpp"

#include <cstdint>
#include <random>
#include <string>
#include <vector>

// Random campaigns: of every seed another one, told as XML to the task centre and as plain data to the model.
namespace task_model {

using namespace task_test;
using namespace std::chrono_literals;

/// Operations happen at whole hours; what they take stays below half of one. Bounds lie in between, so that
/// no outcome hangs on how long a crash and its repair took.
constexpr Duration grid = 1h;
constexpr Duration off_grid = 30min;

enum class Measure { count, sum, distinct, streak, all };
enum class Unit { none, claim, completion, collection };

struct Task {
  std::string id;
  Measure measure = Measure::count;
  Period period = Period::once;
  Period streak = Period::day;
  int freeze = 0;
  Duration grace{};
  bool east = false;  ///< in a zone eight hours ahead
  bool manual_claim = false;
  bool history = false;  ///< what happened before the claim counts
  bool manual_collect = false;
  bool manual_complete = false;
  bool clawback = false;
  bool migrate = false;
  bool credit = false;  ///< counts for the event's inviter
  int members = 0;      ///< of a group; 0: no group
  Duration within{};
  Duration collect_within{};
  Duration hold{};
  std::optional<Duration> late{};
  std::optional<Timestamp> ends{};
  int per_user = 0;
  Unit unit = Unit::none;
  int units = 0;
  Period per = Period::once;
  std::vector<std::vector<int>> targets;  ///< of each version

  [[nodiscard]] bool sums() const { return measure == Measure::count || measure == Measure::sum; }
  [[nodiscard]] int stages() const { return static_cast<int>(targets.front().size()); }
};

constexpr Duration rolling = 72h;
constexpr int versions = 3;
/// What the stages of a task pay: so that no two lines of the ledger look alike.
inline int points_of(int stage) { return 10 * stage; }

inline std::vector<Task> random_tasks(std::mt19937& random, bool tight) {
  const auto one_in = [&](unsigned n) { return random() % n == 0; };
  const auto some = [&](unsigned n) { return static_cast<int>(random() % n); };
  std::vector<Task> tasks;
  for (int number = 0; number < 6; ++number) {
    Task task{"t" + std::to_string(number)};
    task.measure = static_cast<Measure>(random() % 5);
    task.period = std::array{Period::once, Period::once,  Period::day,
                             Period::week, Period::month, Period::rolling}[random() % 6];
    task.streak = one_in(3) ? Period::week : Period::day;
    task.freeze = some(3);
    if (one_in(3)) task.grace = 2h;
    task.east = one_in(4) && task.period != Period::rolling;
    // What passes to another partition is done after its event: where nobody waits for that, its order is
    // open.
    const auto other = tight ? random() % 8 : 2;
    if (other == 0) {
      task.credit = true;
      task.measure = one_in(2) ? Measure::distinct : Measure::sum;
    } else if (other == 1) {
      task.members = 2 + some(4);
      if (task.period == Period::rolling) task.period = Period::once;
    } else {
      task.manual_claim = one_in(3);
      task.history = task.manual_claim && one_in(2);
      task.manual_collect = one_in(3);
      task.manual_complete = task.sums() && one_in(3);
      task.clawback = one_in(3);
      if (one_in(4)) task.within = 24h * (1 + some(6)) + off_grid;
      if (task.manual_collect && one_in(2)) task.collect_within = 24h * (1 + some(3)) + off_grid;
      if (one_in(4)) task.per_user = 1 + some(3);
      if (one_in(2)) task.unit = static_cast<Unit>(1 + random() % 3);
      if (task.unit == Unit::claim) task.manual_claim = true;
      if (task.unit == Unit::claim && one_in(2)) task.hold = 24h * (1 + some(3)) + off_grid;
      task.units = tight ? 1 + some(6) : 1000;
      task.per = std::array{Period::once, Period::day, Period::month}[random() % 3];
    }
    if (one_in(4)) task.late = 1h * some(48) + off_grid;
    if (one_in(6)) task.ends = at("2024-03-20T00:00:00Z");
    const auto stages = task.members > 0 || task.measure == Measure::all ? 1 : 1 + some(3);
    task.migrate = one_in(2);
    for (int version = 0; version < versions; ++version) {
      std::vector<int> targets;
      int last = 0;
      for (int i = 0; i < stages; ++i)
        targets.push_back(last += 1 + some(task.measure == Measure::sum ? 12 : 3));
      if (task.measure == Measure::all) targets = {2};
      task.targets.push_back(targets);
    }
    tasks.push_back(task);
  }
  return tasks;
}

inline std::string xml_of(const Task& task, int version) {
  const auto hours = [](Duration duration) {
    return std::to_string(std::chrono::duration_cast<std::chrono::minutes>(duration).count()) + "m";
  };
  std::string xml = "<task id='" + task.id + "' version='" + std::to_string(version + 1) + "' period='" +
                    std::string(to_string(task.period)) + "'";
  const auto say = [&](std::string_view name, const std::string& value) {
    xml += " " + std::string(name) + "='" + value + "'";
  };
  if (task.period == Period::rolling) say("every", hours(rolling));
  if (task.east) say("timezone", "Asia/Shanghai");
  if (task.manual_claim) say("claim", "manual");
  if (task.history) say("count-from", "cycle");
  if (task.manual_collect) say("collect", "manual");
  if (task.manual_complete) say("complete", "manual");
  if (task.clawback) say("on-refund", "clawback");
  if (task.migrate) say("on-update", "migrate");
  if (task.measure == Measure::all) say("match", "all");
  if (task.within != Duration::zero()) say("within", hours(task.within));
  if (task.collect_within != Duration::zero()) say("collect-within", hours(task.collect_within));
  if (task.late) say("late", hours(*task.late));
  if (task.ends) say("ends", "2024-03-20T00:00:00Z");
  if (task.per_user != 0) say("per-user", std::to_string(task.per_user));
  if (task.members != 0) say("group", "event.group");
  if (task.members != 0) say("members", std::to_string(task.members));
  xml += ">";
  const std::string credit = task.credit ? " credit='event.inviter'" : "";
  const std::string streak = "<on event='paid' streak='" + std::string(to_string(task.streak)) +
                             "' freeze='" + std::to_string(task.freeze) + "' grace='" + hours(task.grace) +
                             "'" + credit + "/>";
  switch (task.measure) {
    case Measure::count: xml += "<on event='paid'/>"; break;
    case Measure::sum:
      xml += "<on event='paid' add='event.n'" + credit + "/><on event='back' add='-event.n'" + credit + "/>";
      break;
    case Measure::distinct: xml += "<on event='paid' distinct='event.n'" + credit + "/>"; break;
    case Measure::streak: xml += streak; break;
    case Measure::all: xml += "<on event='paid' needs='2'/><on event='back' add='event.n' needs='5'/>"; break;
  }
  for (int i = 0; i < task.stages(); ++i) {
    xml += "<stage target='" +
           std::to_string(task.targets[static_cast<std::size_t>(version)][static_cast<std::size_t>(i)]) +
           "' pipeline='grant'" + (task.clawback ? " take-back='take'" : "") + "><arg name='points' value='" +
           std::to_string(points_of(i + 1)) + "'/></stage>";
  }
  if (task.unit != Unit::none) {
    const auto* place = task.unit == Unit::claim        ? "claim"
                        : task.unit == Unit::completion ? "completion"
                                                        : "collection";
    xml += "<quota limit='" + std::to_string(task.units) + "' per='" + std::string(to_string(task.per)) +
           "' at='" + place + "'";
    if (task.hold != Duration::zero()) xml += " hold='" + hours(task.hold) + "'";
    xml += "/>";
  }
  return xml + "</task>";
}

inline std::string campaign_of(const std::vector<Task>& tasks, int version) {
  std::string xml = "<campaign merchant='shop' timezone='UTC'>";
  for (const auto& task : tasks) xml += xml_of(task, version);
  for (const auto* sign : {"", "-"}) {
    xml +=
        std::string("<pipeline id='") + (*sign == '-' ? "take" : "grant") +
        "'><input><param name='user'/><param name='points' type='int'/></input>"
        "<step id='points' use='grant-points@1'><arg name='user' value='user'/><arg name='amount' value='" +
        sign + "points'/><retry attempts='3' first='10ms'/></step></pipeline>";
  }
  return xml + "</campaign>";
}

}  // namespace task_model
