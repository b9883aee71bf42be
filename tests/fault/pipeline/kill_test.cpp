// kill -9 at every moment of a run: a child process dies there, the parent finishes its runs.
#include <onceward/pipeline/runner.hpp>
#include <onceward/storage/sqlite.hpp>
#include <onceward/testing/fake_clock.hpp>
#include <onceward/testing/faulty_storage.hpp>

#include "support/catch.hpp"

#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>
#include <set>
#include <string>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

using namespace onceward;
using namespace std::chrono_literals;

namespace {

namespace fs = std::filesystem;

constexpr int runs_side_by_side = 3;
constexpr int steps_of_a_run = 3;
const Timestamp before_the_crash{std::chrono::days(20'000)};

std::vector<std::string> lines_of(const fs::path& path) {
  std::vector<std::string> lines;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

/// A remote service: its books are files, so they outlive the process that calls it. A token it knows has no
/// second effect and gets the first answer again.
class Remote {
 public:
  explicit Remote(fs::path folder) : effects_(folder / "effects"), calls_(folder / "calls") {}
  std::int64_t credit(std::string_view token) {
    std::ofstream(calls_, std::ios::app) << token << '\n' << std::flush;
    const auto known = lines_of(effects_);
    for (std::size_t i = 0; i < known.size(); ++i) {
      if (known[i] == token) return static_cast<std::int64_t>(i);
    }
    std::ofstream(effects_, std::ios::app) << token << '\n' << std::flush;
    return static_cast<std::int64_t>(known.size());
  }
  [[nodiscard]] std::vector<std::string> effects() const { return lines_of(effects_); }
  [[nodiscard]] std::vector<std::string> calls() const { return lines_of(calls_); }

 private:
  fs::path effects_, calls_;
};

class Credit final : public Step {
 public:
  Credit(Remote& remote, std::function<void()> moment) : remote_(remote), moment_(std::move(moment)) {}
  [[nodiscard]] StepSpec spec() const override { return {.name = "credit@1"}; }
  StepOutcome run(StepContext& step) override {
    moment_();
    const auto receipt = remote_.credit(step.token());
    moment_();
    return Done{Map{{"receipt", receipt}}};
  }

 private:
  Remote& remote_;
  std::function<void()> moment_;
};

/// One process of the service, on the files of a folder.
struct Process {
  Remote remote;
  testing::FakeClock clock;
  std::unique_ptr<Storage> sqlite;
  testing::FaultyStorage storage;
  StepRegistry registry;
  PlanCatalog catalog;
  Runner runner{storage, catalog, {.lease = 30s}};
  std::optional<Plan> plan;

  Process(const fs::path& folder, Timestamp now, const std::function<void()>& moment)
      : remote(folder),
        clock(now),
        sqlite(sqlite::open((folder / "runs.db").string(),
                            {.synchronous = sqlite::Synchronous::normal, .clock = &clock})
                   .value()),
        storage(*sqlite) {
    storage.on_call([moment](std::string_view) { moment(); });
    registry.add(std::make_unique<Credit>(remote, moment)).value();
    auto builder = pipeline("three");
    for (int i = 0; i < steps_of_a_run; ++i) builder.step("s" + std::to_string(i), "credit@1");
    plan = builder.compile(registry).value();
    catalog.add(*plan).value();
  }

  /// All runs side by side; what is there already is left as it is.
  void report() {
    std::vector<PreparedRun> runs;
    std::vector<Batch> batches;
    for (int i = 0; i < runs_side_by_side; ++i) {
      runs.push_back(runner.prepare(*plan, "user" + std::to_string(i), "k", Map()).value());
      batches.push_back({runs.back().partition(), {runs.back().insert}});
    }
    const auto answer = storage.commit(batches).value();
    std::vector<PreparedRun> fresh;
    std::vector<Revision> revisions;
    for (std::size_t i = 0; i < runs.size(); ++i) {
      if (!answer.batches[i].applied()) continue;
      fresh.push_back(std::move(runs[i]));
      revisions.push_back(answer.batches[i].revision);
    }
    runner.drive(fresh, revisions).value();
  }
};

struct Folder {
  fs::path path;
  Folder() {
    std::string name = (fs::temp_directory_path() / "onceward-kill-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("no folder for the test");
    path = name;
  }
  ~Folder() {
    std::error_code ignored;
    fs::remove_all(path, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
};

/// Runs `work` in a process that kills itself at the moment of this number. True where it came so far.
bool killed_at(int number, const fs::path& folder, Timestamp now, const std::function<void(Process&)>& work) {
  const auto child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    int moment = 0;
    Process process(folder, now, [&] {
      if (++moment == number) std::raise(SIGKILL);
    });
    work(process);
    _exit(0);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  if (WIFSIGNALED(status)) {
    REQUIRE(WTERMSIG(status) == SIGKILL);
    return true;
  }
  REQUIRE(WEXITSTATUS(status) == 0);
  return false;
}

/// Every run has succeeded, every step had one effect, and its stored result is the remote's first answer.
void check_finished(Process& process, std::size_t most_calls) {
  const auto effects = process.remote.effects();
  CHECK(effects.size() == static_cast<std::size_t>(runs_side_by_side * steps_of_a_run));
  CHECK(std::set<std::string>(effects.begin(), effects.end()).size() == effects.size());
  CHECK(process.remote.calls().size() <= most_calls);
  for (int i = 0; i < runs_side_by_side; ++i) {
    const auto partition = "user" + std::to_string(i);
    const auto view = process.runner.find("three", partition, "k").value().value();
    CHECK(view.state == RunState::succeeded);
    REQUIRE(view.steps.size() == static_cast<std::size_t>(steps_of_a_run));
    for (const auto& step : view.steps) {
      const auto token = step_token("onceward", "three", partition, "k", step.id);
      const auto* receipt = step.result.find("receipt")->integer();
      REQUIRE(receipt != nullptr);
      CHECK(effects.at(static_cast<std::size_t>(*receipt)) == token);
    }
  }
}

constexpr std::size_t calls_without_crash = runs_side_by_side * steps_of_a_run;

}  // namespace

TEST_CASE(
    "a process killed at any moment leaves runs that another finishes, each effect once [pipeline-1] [pipeline-2] "
    "[pipeline-3]") {
  int number = 1;
  for (bool killed = true; killed; ++number) {
    INFO("killed at moment " << number);
    const Folder folder;
    killed = killed_at(number, folder.path, before_the_crash, [](Process& process) { process.report(); });
    Process after(folder.path, before_the_crash + 1h, [] {});
    const auto known = after.remote.effects();
    after.report();  // the caller asks again with the same keys
    REQUIRE(after.runner.work());
    // Effects that were there are kept as they were; at most the calls of one step of each run are repeated.
    const auto now = after.remote.effects();
    REQUIRE(now.size() >= known.size());
    CHECK(std::equal(known.begin(), known.end(), now.begin()));
    check_finished(after, calls_without_crash + runs_side_by_side);
    CHECK(after.runner.work().value().taken == 0);
  }
  // 4 commits have two moments each, 9 calls of a step as well.
  CHECK(number - 2 == 2 * (steps_of_a_run + 1) + 2 * static_cast<int>(calls_without_crash));
}

TEST_CASE("a process killed while it takes over the runs of a dead one harms nothing") {
  int number = 1;
  for (bool killed = true; killed; ++number) {
    INFO("killed at moment " << number);
    const Folder folder;
    // The first dies with the second step of the first run in flight.
    REQUIRE(killed_at(12, folder.path, before_the_crash, [](Process& process) { process.report(); }));
    killed = killed_at(number, folder.path, before_the_crash + 1h,
                       [](Process& process) { process.runner.work().value(); });
    Process after(folder.path, before_the_crash + 2h, [] {});
    REQUIRE(after.runner.work());
    check_finished(after, calls_without_crash + 2 * runs_side_by_side);
  }
  CHECK(number > 10);
}
