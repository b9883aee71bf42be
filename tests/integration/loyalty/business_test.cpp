#include "business.hpp"
#include "ledger.hpp"
#include "support/catch.hpp"

#include <SQLiteCpp/Database.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <thread>

using loyalty::Business;
using loyalty::CrashPoints;
using loyalty::Effect;

namespace {

/// A folder of its own, gone with the test.
class Folder {
 public:
  Folder() {
    auto pattern = (std::filesystem::temp_directory_path() / "loyalty-test-XXXXXX").string();
    REQUIRE(::mkdtemp(pattern.data()) != nullptr);
    path_ = pattern;
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  [[nodiscard]] std::string file(const std::string& name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

Effect effect(const std::string& token, const std::string& user = "u", std::int64_t stage = 1) {
  return {token, user, "spend", "M:2011-01", stage, "points", "100"};
}

std::vector<Effect> all(Business& business) {
  std::vector<Effect> effects;
  REQUIRE(business.each_sorted([&](const Effect& found) -> onceward::Result<void> {
    effects.push_back(found);
    return {};
  }));
  return effects;
}

std::string text_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

TEST_CASE("a token takes effect once, also after the file was closed") {
  const Folder folder;
  CrashPoints points({});
  {
    auto business = Business::open(folder.file("b.db"), points).value();
    CHECK(business->apply(effect("t1")).value());
    CHECK_FALSE(business->apply(effect("t1")).value());
  }
  auto business = Business::open(folder.file("b.db"), points).value();
  CHECK_FALSE(business->apply(effect("t1")).value());
  CHECK(all(*business) == std::vector<Effect>{effect("t1")});
}

TEST_CASE("a token that comes with another content is refused") {
  CrashPoints points({});
  auto business = Business::open(":memory:", points).value();
  REQUIRE(business->apply(effect("t1")));
  auto other = effect("t1");
  other.value = "200";
  const auto refused = business->apply(other);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == onceward::ErrorCode::conflict);
  CHECK(all(*business) == std::vector<Effect>{effect("t1")});
}

TEST_CASE("of many effects one with another content fails alone") {
  CrashPoints points({});
  auto business = Business::open(":memory:", points).value();
  auto bad = effect("a");
  bad.user = "another";
  const auto answers =
      business->apply_many(std::vector{effect("a"), effect("b"), effect("a"), bad, effect("c")});
  REQUIRE(answers.size() == 5);
  CHECK(answers[0].value());
  CHECK(answers[1].value());
  CHECK_FALSE(answers[2].value());
  REQUIRE_FALSE(answers[3]);
  CHECK(answers[3].error().code == onceward::ErrorCode::conflict);
  CHECK(answers[4].value());
  CHECK(business->apply_many({}).empty());
}

TEST_CASE("where the file cannot be written none of many effects takes place") {
  const Folder folder;
  CrashPoints points({});
  auto business = Business::open(folder.file("b.db"), points).value();
  REQUIRE(business->apply(effect("before")));
  SQLite::Database other(folder.file("b.db"), SQLite::OPEN_READWRITE);
  other.exec(
      "CREATE TRIGGER full AFTER INSERT ON effect WHEN NEW.token = 'third' BEGIN SELECT RAISE(ROLLBACK, "
      "'full'); END");
  const auto answers = business->apply_many(std::vector{effect("first"), effect("second"), effect("third")});
  REQUIRE(answers.size() == 3);
  for (const auto& answer : answers) CHECK_FALSE(answer);
  other.exec("DROP TRIGGER full");
  CHECK(all(*business) == std::vector<Effect>{effect("before")});
  CHECK(business->apply(effect("first")).value());
}

TEST_CASE("one token from many threads takes effect once") {
  const Folder folder;
  CrashPoints points({});
  auto business = Business::open(folder.file("b.db"), points).value();
  std::atomic<int> first{0};
  std::atomic<int> errors{0};
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 8; ++thread) {
    threads.emplace_back([&] {
      for (int i = 0; i < 200; ++i) {
        const auto applied = business->apply(effect("t" + std::to_string(i)));
        if (!applied) ++errors;
        if (applied && *applied) ++first;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(errors == 0);
  CHECK(first == 200);
  CHECK(all(*business).size() == 200);
}

TEST_CASE("many may make the same file at once") {
  for (int round = 0; round < 10; ++round) {
    const Folder folder;
    CrashPoints points({});
    std::atomic<int> opened = 0;
    {
      std::vector<std::jthread> callers;
      for (int i = 0; i < 8; ++i) {
        callers.emplace_back([&] {
          if (Business::open(folder.file("business.db"), points)) ++opened;
        });
      }
    }
    CHECK(opened == 8);
  }
}

TEST_CASE("a file that is something else is refused and left as it is") {
  const Folder folder;
  CrashPoints points({});
  std::ofstream(folder.file("text")) << std::string(8192, 'x');
  const auto text = Business::open(folder.file("text"), points);
  REQUIRE_FALSE(text);
  CHECK(text.error().message.find(folder.file("text")) != std::string::npos);
  CHECK(text_of(folder.file("text")) == std::string(8192, 'x'));
  CHECK_FALSE(Business::open(folder.file("none/b.db"), points));
}

TEST_CASE("the ledger is sorted, quoted where needed, and replaces the old one whole") {
  const Folder folder;
  CrashPoints points({});
  auto business = Business::open(":memory:", points).value();
  const auto path = folder.file("ledger.csv");
  std::ofstream(path) << "old";
  REQUIRE(business->apply(effect("1", "b")));
  REQUIRE(business->apply(effect("2", "a", 10)));
  REQUIRE(business->apply(effect("3", "a", 9)));
  REQUIRE(business->apply(effect("4", "a,\"x\"")));
  REQUIRE(loyalty::write_ledger(*business, path, points));
  CHECK(text_of(path) ==
        "user,task,cycle,stage,step,value\n"
        "a,spend,M:2011-01,9,points,100\n"
        "a,spend,M:2011-01,10,points,100\n"
        "\"a,\"\"x\"\"\",spend,M:2011-01,1,points,100\n"
        "b,spend,M:2011-01,1,points,100\n");
  CHECK_FALSE(std::filesystem::exists(path + ".partial"));
  CHECK_FALSE(loyalty::write_ledger(*business, folder.file("none/ledger.csv"), points));
}
