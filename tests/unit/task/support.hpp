#pragma once
#include <onceward/core/timestamp.hpp>
#include <onceward/storage/memory.hpp>
#include <onceward/task/task_center.hpp>
#include <onceward/testing/fake_clock.hpp>
#include <onceward/testing/faulty_storage.hpp>
#include <onceward/testing/recorded_journal.hpp>

#include <algorithm>
#include <map>
#include <mutex>
#include <string>

namespace task_test {

using namespace onceward;

inline Timestamp at(std::string_view text) { return parse_timestamp(text).value(); }

/// What was granted, by token: the downstream of these tests.
class Granted : public Step {
 public:
  [[nodiscard]] StepSpec spec() const override {
    return {.name = "grant-points@1",
            .arguments = {{"user", Value::Kind::string}, {"amount", Value::Kind::integer}}};
  }
  StepOutcome run(StepContext& step) override {
    const std::lock_guard lock(mutex_);
    ++calls_;
    if (fail_calls > 0 && fail_calls-- > 0) return Retry{"busy"};
    if (reject_negative && step.arg<int>("amount") < 0) return Reject{"spent", "the points are spent"};
    if (reject || (reject_from > 0 && calls_ >= reject_from))
      return Reject{"refused", "the account is closed"};
    if (unknown) return Unknown{"the answer was lost"};
    effects_.emplace(step.token(),
                     std::string(step.run_key()) + "=" + std::to_string(step.arg<int>("amount")));
    return Done{};
  }
  /// "<user>/<task>/<cycle>/<stage>=<amount>", sorted, each effect once.
  [[nodiscard]] std::vector<std::string> list() const {
    const std::lock_guard lock(mutex_);
    std::vector<std::string> lines;
    for (const auto& [token, line] : effects_) {
      const auto equals = line.find('=');
      const auto grant = parse_run_key(std::string_view(line).substr(0, equals)).value();
      lines.push_back(grant.user + "/" + grant.task + "/" + grant.cycle + "/" + std::to_string(grant.stage) +
                      line.substr(equals));
    }
    std::sort(lines.begin(), lines.end());
    return lines;
  }
  int fail_calls = 0;            ///< of the next calls
  bool reject_negative = false;  ///< what is spent cannot be taken back
  bool reject = false;
  int reject_from = 0;   ///< from so many calls on; 0: none
  bool unknown = false;  ///< nobody hears what became of a call

  [[nodiscard]] int calls() const {
    const std::lock_guard lock(mutex_);
    return calls_;
  }

 private:
  mutable std::mutex mutex_;
  std::map<std::string, std::string, std::less<>> effects_;
  int calls_ = 0;
};

/// A task centre on memory storage, with a clock that moves by hand and a storage that fails when asked to.
struct Shop {
  testing::FakeClock clock;
  std::unique_ptr<Storage> memory = open_memory({.clock = &clock}).value();
  testing::FaultyStorage storage{*memory};
  StepRegistry registry;
  Granted* granted = nullptr;
  PlanCatalog catalog;
  std::unique_ptr<Runner> runner;
  std::unique_ptr<TaskCenter> center;
  int next_id = 0;
  Journal* journal = nullptr;
  std::map<std::string, UserProfile> profiles;  ///< by user

  explicit Shop(std::string_view tasks = {}, std::string_view zone = "UTC", Journal* tells = nullptr)
      : journal(tells) {
    auto step = std::make_unique<Granted>();
    granted = step.get();
    registry.add(std::move(step)).value();
    restart();
    if (!tasks.empty()) center->publish(campaign(tasks, zone)).value();
  }

  /// A new process on the same storage.
  void restart() {
    center.reset();
    runner =
        std::make_unique<Runner>(storage, catalog, RunnerOptions{.lease = std::chrono::milliseconds(200)});
    center = std::make_unique<TaskCenter>(
        storage, catalog, *runner,
        TaskCenterOptions{
            .lease = std::chrono::milliseconds(200), .journal = journal, .profile = [this](auto, auto user) {
              return Result<UserProfile>(profiles[std::string(user)]);
            }});
  }

  [[nodiscard]] Campaign campaign(std::string_view tasks, std::string_view zone = "UTC",
                                  std::string_view merchant = "shop") const {
    const auto text =
        "<campaign merchant='" + std::string(merchant) + "' timezone='" + std::string(zone) + "'>" +
        std::string(tasks) +
        "<pipeline id='grant'><input><param name='user'/><param name='points' type='int'/></input>"
        "<step id='points' use='grant-points@1'><arg name='user' value='user'/>"
        "<arg name='amount' value='points'/></step></pipeline>"
        "<pipeline id='take'><input><param name='user'/><param name='points' type='int'/></input>"
        "<step id='points' use='grant-points@1'><arg name='user' value='user'/>"
        "<arg name='amount' value='-points'/></step></pipeline></campaign>";
    return Campaign::compile(parse_campaign_xml(text, "test.xml").value(), registry).value();
  }

  Event event(Map attributes = {}, std::string_view time = "2024-03-10T12:00:00Z", std::string user = "ann",
              std::string type = "paid") {
    return {"shop",          "e" + std::to_string(++next_id),
            std::move(user), std::move(type),
            at(time),        std::move(attributes)};
  }
  Receipt report(const Event& event) { return center->report(event).value(); }
  InstanceView view(std::string_view task, std::string_view cycle, std::string_view user = "ann") {
    return center->instance("shop", user, task, cycle).value().value_or(InstanceView{});
  }
  Request request(std::string_view task, std::string user = "ann") {
    return {"shop", std::move(user), std::string(task), "r" + std::to_string(++next_id)};
  }
  /// Does all that is due or will be within an hour.
  void settle() {
    for (int i = 0; i < 20; ++i) {
      clock.advance(std::chrono::minutes(3));
      while (center->work().value().taken > 0) continue;
    }
  }
  /// "from-trigger-to" of every line.
  static std::vector<std::string> moves(const testing::RecordedJournal& journal) {
    std::vector<std::string> lines;
    for (const auto& line : journal.lines())
      if (line.room == "task") lines.push_back(line.from + "-" + line.trigger + "-" + line.to);
    return lines;
  }
  /// "<task>/<cycle>" of each.
  static std::vector<std::string> names(const std::vector<Replayed>& lines) {
    std::vector<std::string> found;
    for (const auto& line : lines) found.push_back(line.task + "/" + line.cycle);
    return found;
  }
  std::int64_t progress(std::string_view task, std::string_view cycle, std::string_view user = "ann") {
    const auto instance = center->instance("shop", user, task, cycle).value();
    return instance ? instance->progress : 0;
  }
};

/// A stage of a test's task.
inline std::string stage(int target, int points) {
  return "<stage target='" + std::to_string(target) + "' pipeline='grant'><arg name='points' value='" +
         std::to_string(points) + "'/></stage>";
}

}  // namespace task_test
