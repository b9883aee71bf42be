#include <onceward/testing/crash_points.hpp>

#include "support/catch.hpp"
#include "support/temporary_folder.hpp"

#include <csignal>
#include <fstream>
#include <iterator>
#include <vector>

using namespace onceward::testing;

namespace {

std::string text_of(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

TEST_CASE("a crash point ends its process where it is armed, the nth time, and nowhere else") {
  const TemporaryFolder folder;
  const auto path = folder.file("steps");
  const auto work = [&](std::string name, std::size_t nth) {
    return run_in_child([&] {
      CrashPoints points;
      if (nth > 0) points.arm(std::move(name), nth);
      for (int i = 0; i < 3; ++i) {
        std::ofstream(path, std::ios::app) << i << std::flush;
        points.reach("a");
        points.reach("b");
      }
      return static_cast<int>(points.reached("a") * 10 + points.reached());
    });
  };
  CHECK(work("a", 2).crashed);
  CHECK(text_of(path) == "01");
  CHECK(work("b", 1).crashed);
  CHECK(text_of(path) == "010");
  CHECK_FALSE(work("c", 1).crashed);
  const auto end = work("", 0);
  CHECK_FALSE(end.crashed);
  CHECK(end.exit_code == 36);
}

TEST_CASE("a process is killed at every point it comes to, one after another") {
  const TemporaryFolder folder;
  const auto path = folder.file("steps");
  std::vector<std::string> left;
  const auto deaths = crash_everywhere(
      [&](CrashPoints& points) {
        std::ofstream(path, std::ios::trunc).close();
        for (const char* name : {"first", "second", "third"}) {
          std::ofstream(path, std::ios::app) << name[0] << std::flush;
          points.reach(name);
        }
        return 0;
      },
      [&](std::size_t reached) { left.push_back(std::to_string(reached) + text_of(path)); });
  CHECK(deaths == 3);
  CHECK(left == std::vector<std::string>{"1f", "2fs", "3fst"});
}

TEST_CASE("a child that fails, throws, or dies of something else is no crash") {
  CHECK(run_in_child([] { return 7; }).exit_code == 7);
  CHECK(run_in_child([]() -> int { throw std::runtime_error("on purpose"); }).exit_code == 125);
  const auto terminated = [] {
    std::signal(SIGTERM, SIG_DFL);
    return std::raise(SIGTERM);
  };
  CHECK_THROWS_AS(run_in_child(terminated), std::runtime_error);
  CHECK_THROWS_AS(crash_everywhere([](CrashPoints&) { return 1; }, [](std::size_t) {}), std::runtime_error);
}
