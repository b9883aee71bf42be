// Operators in several processes on one SQLite file, and one that is killed.
#include <onceward/idempotency/guard.hpp>
#include <onceward/idempotency/operator.hpp>
#include <onceward/journal/journal.hpp>
#include <onceward/storage/sqlite.hpp>
#include <onceward/testing/fake_clock.hpp>

#include "processes.hpp"
#include "support/forked.hpp"

#include <atomic>

using namespace onceward;
using namespace std::chrono_literals;
using fault::Folder;

namespace {

const Timestamp start_of_time{std::chrono::days(20'000)};
const Policy policy{.operation = "grant", .lease = 30s, .retention = 24h};
const By ann{"ann", "ticket 41"};

struct Process {
  testing::FakeClock clock;
  std::unique_ptr<Storage> storage;
  Process(const Folder& folder, Duration later)
      : clock(start_of_time + later),
        storage(sqlite::open(folder.file("guards.db"),
                             {.synchronous = sqlite::Synchronous::normal, .clock = &clock})
                    .value()) {}
};

/// Dies before it has written anything.
class DeadlyJournal final : public Journal {
 public:
  void write(const JournalEntry&) noexcept override { std::raise(SIGKILL); }
};

}  // namespace

TEST_CASE("processes that purge at once remove each old key once and no other [guard-80]") {
  constexpr int processes = 4;
  constexpr int olds = 400;
  constexpr int youngs = 40;
  const Folder folder;
  {
    Process process(folder, 0s);
    for (int i = 0; i < olds; ++i)
      Guard::claim(*process.storage, "old" + std::to_string(i), policy)->complete(i);
    process.clock.advance(2h);
    for (int i = 0; i < youngs; ++i)
      Guard::claim(*process.storage, "young" + std::to_string(i), policy)->complete(i);
  }
  const Shared<std::atomic<int>> removed;
  const Shared<std::atomic<int>> ready;
  std::vector<pid_t> children;
  for (int i = 0; i < processes; ++i) {
    children.push_back(fault::start([&] {
      Process process(folder, 2h + 1s);
      GuardOperator keys(*process.storage);
      ++*ready;
      while (ready->load() < processes) ::usleep(100);
      std::string cursor;
      do {
        auto purged = keys.purge("grant", 1h, ann, {.limit = 50, .cursor = cursor, .within_retention = true}).value();
        *removed += static_cast<int>(purged.removed);
        cursor = purged.cursor;
      } while (!cursor.empty());
    }));
  }
  for (const auto child : children) CHECK_FALSE(fault::was_killed(child));
  CHECK(removed->load() == olds);
  Process after(folder, 2h + 2s);
  GuardOperator keys(*after.storage);
  std::size_t left = 0;
  std::string cursor;
  do {
    auto page = keys.list("grant", KeyStandings::ended(), cursor).value();
    for (const auto& key : page.keys) CHECK(key.key.starts_with("young"));
    left += page.keys.size();
    cursor = page.cursor;
  } while (!cursor.empty());
  CHECK(left == youngs);
}

TEST_CASE("an operator who is killed before the journal has it leaves his name in the record [guard-34]") {
  const Folder folder;
  REQUIRE(fault::was_killed(fault::start([&] {
    Process process(folder, 0s);
    auto guard = Guard::claim(*process.storage, "k", policy).value();
    guard.leave_in_doubt({ErrorCode::in_doubt, "?"});
    DeadlyJournal journal;
    GuardOperator keys(*process.storage, &journal);
    (void)keys.resolve("grant", "k", Resolution::done("found"), ann);
    std::_Exit(1);
  })));
  Process after(folder, 1s);
  GuardOperator keys(*after.storage);
  const auto view = keys.inspect("grant", "k").value().value();
  CHECK(view.standing == KeyStanding::done);
  CHECK(view.resolved_by == "ann");
  CHECK(view.reason == "ticket 41");
  CHECK(Guard::claim(*after.storage, "k", policy)->result() == Value("found"));
}
