// What the torture test writes down, and the plan of its faults.
#include "history.hpp"
#include "plan.hpp"

#include "support/catch.hpp"

#include <filesystem>
#include <fstream>
#include <set>

using namespace torture;

TEST_CASE("a line reads back as it was written, and anything else is refused") {
  Line line{1'000'000, "3.2",      17,           Event::end, Kind::plain, "hot-1", 1, 42,
            2,         "executed", hash_of("r"), true,       1,           2,       3};
  CHECK(parse(format(line)) == line);
  CHECK_THROWS_AS(parse(""), std::runtime_error);
  CHECK_THROWS_AS(parse(format(line) + " more"), std::runtime_error);
  CHECK_THROWS_AS(parse(format(line).substr(0, 40)), std::runtime_error);
  line.word = "two words";
  CHECK_THROWS_AS(parse(format(line)), std::runtime_error);
}

TEST_CASE("a history loses the line that a kill cut, and no other") {
  const auto file = (std::filesystem::temp_directory_path() / "onceward-history-test").string();
  std::filesystem::remove(file);
  const Line line{1'000'000, "0.0", 1, Event::begin, Kind::fenced, "k"};
  {
    Recorder recorder(file);
    recorder.write(line);
    recorder.write(line);
  }
  std::ofstream(file, std::ios::app) << format(line);
  CHECK(read_history(file) == std::vector<Line>{line, line});
  std::ofstream(file, std::ios::app) << "\nno line\n";
  CHECK_THROWS_AS(read_history(file), std::runtime_error);
  std::filesystem::remove(file);
}

TEST_CASE("a seed plans the same faults again, and another seed others") {
  using namespace std::chrono_literals;
  const auto faults = plan(7, 60s, 3s);
  CHECK(faults == plan(7, 60s, 3s));
  CHECK(faults != plan(8, 60s, 3s));
  std::set<FaultKind> kinds;
  for (const auto& fault : faults) {
    kinds.insert(fault.kind);
    CHECK(fault.at < 60s);
    if (fault.kind == FaultKind::stop) CHECK(fault.lasts > 800ms);
  }
  CHECK(kinds.size() == 4);
  for (const auto& fault : plan(7, 60s, 0s)) CHECK(fault.kind <= FaultKind::stop);
}
