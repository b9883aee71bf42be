// kill -9 at every write and every call of a run with retries, parallel branches, items and undo: whoever
// comes goes on exactly where it stood.
#include <onceward/pipeline/runner.hpp>
#include <onceward/storage/sqlite.hpp>
#include <onceward/testing/crash_points.hpp>
#include <onceward/testing/fake_clock.hpp>
#include <onceward/testing/faulty_storage.hpp>

#include "support/catch.hpp"
#include "support/temporary_folder.hpp"

#include <fstream>
#include <map>
#include <optional>
#include <set>
#include <sstream>

using namespace onceward;
using namespace std::chrono_literals;

namespace {

struct Line {
  std::string what;  ///< "do" or "undo"
  std::string path;
  int attempt = 0;
  std::int64_t micros = 0;
  std::string token;
};

/// A remote service whose books are a file: they outlive the process that calls it.
class Books {
 public:
  explicit Books(std::string file) : file_(std::move(file)) {}
  void write(const Line& line) const {
    std::ofstream(file_, std::ios::app) << line.what << ' ' << line.path << ' ' << line.attempt << ' '
                                        << line.micros << ' ' << line.token << '\n'
                                        << std::flush;
  }
  [[nodiscard]] std::vector<Line> lines() const {
    std::vector<Line> lines;
    std::ifstream file(file_);
    for (Line line; file >> line.what >> line.path >> line.attempt >> line.micros >> line.token;)
      lines.push_back(line);
    return lines;
  }

 private:
  std::string file_;
};

struct Process {
  std::string clock_file;
  testing::FakeClock clock;
  std::unique_ptr<Storage> sqlite;
  testing::FaultyStorage storage;
  Books books;
  StepRegistry registry;
  PlanCatalog catalog;
  std::optional<Plan> plan;
  Runner runner{storage, catalog};

  class Entry final : public Step {
   public:
    Entry(Process& process, std::function<void(std::string_view)> point)
        : process_(process), point_(std::move(point)) {}
    [[nodiscard]] StepSpec spec() const override { return {.name = "entry@1", .undo = true}; }
    StepOutcome run(StepContext& step) override {
      note("do", step);
      if (step.step_id() == "late" && step.attempt() < 3) return Retry{"busy", 1s};
      if (step.step_id() == "end") return Reject{"closed", "no account"};
      return Done{};
    }
    StepOutcome undo(StepContext& step) override {
      note("undo", step);
      return Done{};
    }

   private:
    void note(const char* what, const StepContext& step) {
      point_("call.before");
      const auto now = process_.clock.now().time_since_epoch();
      process_.books.write({what, std::string(step.step_id()), step.attempt(), std::int64_t{now.count()},
                            std::string(step.token())});
      point_("call.after");
    }
    Process& process_;
    std::function<void(std::string_view)> point_;
  };

  explicit Process(
      const TemporaryFolder& folder, const std::function<void(std::string_view)>& point = [](auto) {})
      : clock_file(folder.file("clock")),
        clock(time_of(clock_file)),
        sqlite(sqlite::open(folder.file("runs.db"),
                            {.synchronous = sqlite::Synchronous::normal, .clock = &clock})
                   .value()),
        storage(*sqlite),
        books(folder.file("books")) {
    storage.on_call([point](std::string_view name) { point(name); });
    registry.add(std::make_unique<Entry>(*this, point)).value();
    plan = pipeline("r")
               .recover(Recover::backward)
               .step("first", "entry@1")
               .parallel("fan", Join::all,
                         [](Branches& b) {
                           for (const char* id : {"b1", "b2", "b3", "b4", "b5"}) b.step(id, "entry@1");
                         })
               .step("late", "entry@1")
               .foreach ("each", {.items = "{'x', 'y'}", .variable = "item", .item_key = "item"},
                         [](Body& b) { b.step("pay", "entry@1"); })
               .step("end", "entry@1")
               .compile(registry)
               .value();
    catalog.add(*plan).value();
  }
  static Timestamp time_of(const std::string& file) {
    std::int64_t micros = 0;
    std::ifstream(file) >> micros;
    return Timestamp(std::chrono::days(20'000)) + Duration(micros);
  }
  void go_on(Duration wait) {
    clock.advance(wait);
    std::ofstream(clock_file) << (clock.now() - Timestamp(std::chrono::days(20'000))).count() << std::flush;
  }
  /// As workers do, until nothing waits any more.
  int finish() {
    for (int i = 0; i < 100; ++i) {
      const auto report = runner.work().value();
      if (!report.next_in) return 0;
      go_on(*report.next_in);
    }
    return 1;
  }
};

const std::vector<std::string> forward = {"first", "b1",   "b2",          "b3",          "b4",
                                          "b5",    "late", "each[x]/pay", "each[y]/pay", "end"};

}  // namespace

TEST_CASE(
    "a run of every kind of effect goes on where it was killed: attempts count, branches and undos are not repeated "
    "[pipeline-2] [pipeline-8] [pipeline-9] [pipeline-11] [pipeline-47]") {
  std::optional<TemporaryFolder> folder(std::in_place);
  std::set<std::string> repeated;
  const auto deaths = testing::crash_everywhere(
      [&](testing::CrashPoints& points) {
        Process process(*folder, [&](std::string_view point) { points.reach(point); });
        process.runner.start(*process.plan, "p", "k", Map()).value();
        return process.finish();
      },
      [&](std::size_t reached) {
        INFO("killed at point " << reached);
        const auto before = Books(folder->file("books")).lines();
        const auto finished = testing::run_in_child([&] {
          Process process(*folder);
          process.runner.start(*process.plan, "p", "k", Map()).value();  // the caller asks again
          if (process.finish() != 0) return 1;
          const auto view = process.runner.find("r", "p", "k").value().value();
          return view.state == RunState::failed && view.reason == "closed: no account" &&
                         view.undone.size() == forward.size() - 1
                     ? 0
                     : 2;
        });
        REQUIRE(finished.exit_code == 0);
        const auto lines = Books(folder->file("books")).lines();
        std::map<std::string, std::string> tokens;
        std::map<std::string, int> calls;
        std::map<std::string, int> attempts;
        std::vector<std::string> order;
        for (std::size_t i = 0; i < lines.size(); ++i) {
          const auto name = lines[i].what + " " + lines[i].path;
          CHECK(tokens.try_emplace(name, lines[i].token).first->second == lines[i].token);
          // One that died with its call under way counts, whether it had reached the service or not.
          const int lost = lines[i].attempt - ++calls[name];
          CHECK((lost == 0 || lost == 1));
          attempts[name] = lines[i].attempt;
          // The one call that was under way is all that is made again.
          if (calls[name] > 1 && lines[i].path != "late") {
            CHECK(i == before.size());
            repeated.insert(name);
          }
          if (order.empty() || order.back() != name) order.push_back(name);
          // A storage's clock is ahead by a microsecond for each write of one moment.
          if (name == "do late" && calls[name] > 1) CHECK(lines[i].micros >= lines[i - 1].micros + 999'000);
        }
        CHECK((attempts["do late"] == 3 || attempts["do late"] == 4));
        std::vector<std::string> expected;
        for (const auto& path : forward) expected.push_back("do " + path);
        for (std::size_t i = forward.size() - 1; i-- > 0;) expected.push_back("undo " + forward[i]);
        CHECK(order == expected);
        folder.emplace();
      });
  // Each effect and each write was a place to die at, and each call was once the one that was made again.
  CHECK(deaths > 60);
  CHECK(repeated.size() == 2 * forward.size() - 3);
}
