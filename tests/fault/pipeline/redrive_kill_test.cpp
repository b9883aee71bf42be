// kill -9 at every commit, read and scan of a redrive: whoever repeats it finishes it, each run pushed once.
#include <onceward/pipeline/replay_scheduler.hpp>
#include <onceward/storage/sqlite.hpp>
#include <onceward/testing/crash_points.hpp>
#include <onceward/testing/faulty_storage.hpp>

#include "support/catch.hpp"
#include "support/temporary_folder.hpp"

#include <fstream>
#include <iterator>
#include <optional>

using namespace onceward;
using namespace std::chrono_literals;

namespace {

constexpr int runs = 7;
constexpr int partitions = 3;

/// Rejects until the file "mended" is there.
class Credit final : public Step {
 public:
  explicit Credit(const TemporaryFolder& folder) : folder_(folder) {}
  [[nodiscard]] StepSpec spec() const override { return {.name = "credit@1"}; }
  StepOutcome run(StepContext&) override {
    if (!std::ifstream(folder_.file("mended"))) return Reject{"closed", "no account"};
    return Done{};
  }

 private:
  const TemporaryFolder& folder_;
};

struct Process {
  std::unique_ptr<Storage> sqlite;
  testing::FaultyStorage storage;
  StepRegistry registry;
  PlanCatalog catalog;
  std::optional<Plan> plan;
  Runner runner{storage, catalog};

  explicit Process(const TemporaryFolder& folder)
      : sqlite(sqlite::open(folder.file("runs.db"), {.synchronous = sqlite::Synchronous::normal}).value()),
        storage(*sqlite) {
    registry.add(std::make_unique<Credit>(folder)).value();
    plan = pipeline("r").step("a", "credit@1").compile(registry).value();
    catalog.add(*plan).value();
  }
  static std::string partition(int i) { return "p" + std::to_string(i % partitions); }
  static std::string key(int i) { return "k" + std::to_string(i); }
  RunView view(int i) { return runner.find("r", partition(i), key(i)).value().value(); }

  /// Goes on from the cursor that a killed one left in a file, and leaves one.
  RedriveReport redrive(const TemporaryFolder& folder) {
    RedriveOptions options{.id = "monday", .by = {"ann", "mended"}, .per_second = 100'000, .page = 2};
    const auto file = folder.file("cursor");
    std::ifstream in(file);
    options.cursor.assign(std::istreambuf_iterator<char>(in), {});
    options.progress = [&](const RedriveReport& report) {
      std::ofstream(file + ".new") << report.cursor << std::flush;
      std::filesystem::rename(file + ".new", file);
    };
    return ReplayScheduler(storage, runner).redrive({}, options).value();
  }
};

}  // namespace

TEST_CASE("a redrive that is killed anywhere goes on from its cursor and pushes each run once") {
  std::optional<TemporaryFolder> folder;
  std::size_t killed_midway = 0;
  const auto fresh = [&] {
    folder.emplace();
    // In a child, so that no connection of this process meets those of others.
    const auto made = testing::run_in_child([&] {
      Process process(*folder);
      for (int i = 0; i < runs; ++i)
        process.runner.start(*process.plan, Process::partition(i), Process::key(i), Map()).value();
      return 0;
    });
    REQUIRE(made.exit_code == 0);
  };
  fresh();
  const auto deaths = testing::crash_everywhere(
      [&](testing::CrashPoints& points) {
        Process process(*folder);
        process.storage.on_call([&](std::string_view point) { points.reach(point); });
        const auto report = process.redrive(*folder);
        return report.pushed == runs && report.cursor.empty() ? 0 : 1;
      },
      [&](std::size_t reached) {
        const auto finished = testing::run_in_child([&] {
          Process process(*folder);
          const auto before = [&] {
            int count = 0;
            for (int i = 0; i < runs; ++i) count += process.view(i).state == RunState::running ? 1 : 0;
            return count;
          }();
          const auto report = process.redrive(*folder);
          if (static_cast<int>(report.pushed) != runs - before || !report.cursor.empty()) return 2;
          std::ofstream(folder->file("mended")).close();
          while (process.runner.work().value().taken > 0) {
          }
          for (int i = 0; i < runs; ++i) {
            const auto view = process.view(i);
            if (view.state != RunState::succeeded || view.acts.size() != 1) return 3;
          }
          return before > 0 && before < runs ? 10 : 0;
        });
        INFO("killed at point " << reached);
        CHECK((finished.exit_code == 0 || finished.exit_code == 10));
        killed_midway += finished.exit_code == 10 ? 1U : 0U;
        fresh();
      });
  // Each run is read and written, with a moment before and one after; and pages are read.
  CHECK(deaths >= 4 * runs);
  CHECK(killed_midway >= 2 * runs);
}
