// The checker of the torture test: a sound history passes, and each kind of violation is found in a history
// that was made up to have it.
#include "checker.hpp"

#include "support/catch.hpp"

#include <set>

using namespace torture;

namespace {

constexpr std::int64_t ms = 1'000'000;
constexpr std::int64_t start = 1'000'000 * ms;
constexpr std::int64_t lease = 500;
constexpr std::int64_t retention = 10'000;

/// A history that is written call by call; moments are milliseconds after its start. The storage's clock and
/// that of the processes agree.
class Story {
 public:
  Observed observed;

  /// The fence of a claim that was written at this moment.
  static std::int64_t fence(std::int64_t at) { return (start + at * ms) / 1000; }

  Line& add(const std::string& process, int call, Event event, std::int64_t at) {
    Line line;
    line.at = start + at * ms;
    line.process = process;
    line.call = call;
    line.event = event;
    line.kind = kind;
    line.key = key;
    line.payload = payload;
    if (event == Event::begin) line.lease_ms = lease, line.retention_ms = retention, line.limit_ms = 2'000;
    observed.lines.push_back(line);
    return observed.lines.back();
  }
  void begin(const std::string& process, int call, std::int64_t at) { add(process, call, Event::begin, at); }
  void acquired(const std::string& process, int call, std::int64_t at, int attempt = 1) {
    auto& line = add(process, call, Event::acquired, at);
    line.fence = fence(at);
    line.attempt = attempt;
  }
  void effect(std::int64_t claimed_at, const std::string& result) {
    observed.accepted.push_back({key, fence(claimed_at), result});
    observed.standing[key] = observed.accepted.back();
  }
  void finishing(const std::string& process, int call, std::int64_t at, const std::string& result) {
    add(process, call, Event::finishing, at).word = "complete";
    observed.lines.back().result = result;
  }
  Line& end(const std::string& process, int call, std::int64_t at, const std::string& word,
            std::int64_t claimed_at = 0, const std::string& result = "-", int attempt = 1) {
    auto& line = add(process, call, Event::end, at);
    line.word = word;
    line.result = result;
    line.recorded = word == "executed";
    line.fence = claimed_at == 0 ? 0 : fence(claimed_at);
    line.attempt = attempt;
    return line;
  }
  /// A whole call that ran, from `at` on: the claim 1 ms later, the effect after 2, done after 3.
  void executed(const std::string& process, int call, std::int64_t at, const std::string& result,
                int attempt = 1) {
    begin(process, call, at);
    acquired(process, call, at + 1, attempt);
    if (kind == Kind::fenced) effect(at + 1, result);
    finishing(process, call, at + 2, result);
    end(process, call, at + 3, "executed", at + 1, result, attempt);
  }
  void replayed(const std::string& process, int call, std::int64_t at, std::int64_t claimed_at,
                const std::string& result) {
    begin(process, call, at);
    end(process, call, at + 1, "replayed", claimed_at, result);
  }

  /// The names of the rules that are broken.
  std::set<std::string> broken() const {
    std::set<std::string> rules;
    for (const auto& violation : check(observed)) rules.insert(violation.rule);
    return rules;
  }

  Kind kind = Kind::fenced;
  std::string key = "k";
  int payload = 0;
};

using Rules = std::set<std::string>;

/// A claim at 101 ms whose owner completes at once, and the quiet process that is told so.
Story sound() {
  Story story;
  story.executed("0.0", 1, 100, "r1");
  story.replayed(quiet_process, 1, 9'000, 101, "r1");
  return story;
}

}  // namespace

TEST_CASE("a sound history has no violation: replays, a takeover from the dead, waiting, a second life") {
  auto story = sound();
  story.replayed("1.0", 1, 200, 101, "r1");
  story.begin("2.0", 1, 50);
  story.end("2.0", 1, 120, "in_progress");
  story.key = "taken over";
  story.begin("0.0", 2, 300);
  story.acquired("0.0", 2, 301);
  story.effect(301, "dead");
  story.observed.killed.insert("0.0");
  story.executed("1.0", 2, 900, "r2", 2);
  story.replayed(quiet_process, 2, 9'000, 901, "r2");
  story.key = "lives twice";
  story.executed("1.0", 3, 2'000, "r3");
  story.executed("1.0", 4, 2'100 + retention, "r4");
  story.replayed(quiet_process, 3, 15'000, 2'101 + retention, "r4");
  for (const auto& violation : check(story.observed)) UNSCOPED_INFO(violation.rule + ": " + violation.what);
  CHECK(story.broken().empty());
}

TEST_CASE("lines that make no calls are found") {
  auto story = sound();
  SECTION("a call begins twice") { story.begin("0.0", 1, 100); }
  SECTION("a call ends twice") { story.end("0.0", 1, 103, "executed", 101, "r1"); }
  SECTION("a call ends that never began") { story.end("0.0", 9, 103, "in_progress"); }
  CHECK(story.broken() == Rules{"history"});
}

TEST_CASE("a history without a call proves nothing") { CHECK(Story().broken() == Rules{"history"}); }

TEST_CASE(
    "a call that hangs is found, unless its process was killed, and not counting the time it was stopped") {
  auto story = sound();
  story.begin("1.0", 1, 200);
  SECTION("it never ended") { CHECK(story.broken() == Rules{"hang"}); }
  SECTION("it was killed") {
    story.observed.killed.insert("1.0");
    CHECK(story.broken().empty());
  }
  SECTION("it took longer than its limit") {
    story.end("1.0", 1, 200 + 2'001, "in_progress");
    CHECK(story.broken() == Rules{"hang"});
    CHECK(longest_call_ns(story.observed) == 2'001 * ms);
  }
  SECTION("it was stopped meanwhile") {
    story.end("1.0", 1, 200 + 2'001, "in_progress");
    story.observed.stops["1.0"].push_back({start + 300 * ms, start + 900 * ms});
    CHECK(story.broken().empty());
    CHECK(longest_call_ns(story.observed) == 1'401 * ms);
  }
  SECTION("another was stopped meanwhile") {
    story.end("1.0", 1, 200 + 2'001, "in_progress");
    story.observed.stops["2.0"].push_back({start + 300 * ms, start + 900 * ms});
    CHECK(story.broken() == Rules{"hang"});
  }
}

TEST_CASE("a verdict that does not say whether the handler ran is found") {
  auto story = sound();
  story.kind = Kind::plain;
  story.key = "p";
  SECTION("it ran and says that it did not") {
    story.begin("1.0", 1, 200);
    story.add("1.0", 1, Event::acquired, 201);
    story.end("1.0", 1, 202, "in_progress");
  }
  SECTION("it did not run and says that it did") {
    story.begin("1.0", 1, 200);
    story.end("1.0", 1, 202, "lease_lost");
  }
  SECTION("it ran twice in one call") {
    story.executed("1.0", 1, 200, "r2");
    story.add("1.0", 1, Event::acquired, 201);
  }
  story.executed("2.0", 1, 1'000, "r3", 2);
  story.replayed(quiet_process, 2, 9'000, 1'001, "r3");
  CHECK(story.broken().count("verdict") == 1);
}

TEST_CASE("a result that is told to another payload is found, and key_reused where there was none") {
  auto story = sound();
  SECTION("told") {
    story.payload = 1;
    story.replayed("1.0", 1, 200, 101, "r1");
  }
  SECTION("no other payload") {
    story.begin("1.0", 1, 200);
    story.end("1.0", 1, 201, "key_reused");
  }
  CHECK(story.broken() == Rules{"payload"});
}

TEST_CASE("key_reused is right where another payload came before") {
  auto story = sound();
  story.payload = 1;
  story.begin("1.0", 1, 200);
  story.end("1.0", 1, 201, "key_reused");
  CHECK(story.broken().empty());
}

TEST_CASE("a stored result that changes is found") {
  auto story = sound();
  story.kind = Kind::plain;
  story.key = "p";
  story.executed("1.0", 1, 200, "r2");
  SECTION("another one under the same fence") {
    story.replayed("1.0", 2, 300, 201, "r1");
    story.replayed(quiet_process, 2, 9'000, 201, "r2");
    CHECK(story.broken() == Rules{"result"});
  }
  SECTION("one that no run made") {
    story.replayed(quiet_process, 2, 9'000, 201, "from nowhere");
    CHECK(story.broken().count("result") == 1);
  }
  SECTION("a second run's, within the retention") {
    story.executed("2.0", 1, 400, "r3", 2);
    story.replayed(quiet_process, 2, 9'000, 401, "r3");
    CHECK(story.broken() == Rules{"result", "run_again"});
  }
  SECTION("the first one's again, after a second life began") {
    story.executed("2.0", 1, 500 + retention, "r3");
    story.replayed("2.0", 2, 600 + retention, 201, "r2");
    story.replayed(quiet_process, 2, 700 + retention, 501 + retention, "r3");
    CHECK(story.broken() == Rules{"result"});
  }
}

TEST_CASE("a key that is run again after it was done is found, also where the second run never ends") {
  auto story = sound();
  story.begin("1.0", 1, 300);
  story.acquired("1.0", 1, 301, 2);
  story.observed.killed.insert("1.0");
  CHECK(story.broken() == Rules{"run_again"});
  // Without fences, by time alone.
  Story plain;
  plain.kind = Kind::plain;
  plain.executed("0.0", 1, 100, "r1");
  plain.begin("1.0", 1, 300);
  plain.add("1.0", 1, Event::acquired, 301);
  plain.observed.killed.insert("1.0");
  plain.replayed(quiet_process, 1, 9'000, 101, "r1");
  CHECK(plain.broken() == Rules{"run_again"});
}

TEST_CASE("two owners at a time are found") {
  Story story;
  story.begin("0.0", 1, 100);
  story.acquired("0.0", 1, 101);
  story.observed.killed.insert("0.0");
  SECTION("while the lease of a dead one runs") {
    story.executed("1.0", 1, 400, "r", 2);
    story.replayed(quiet_process, 1, 9'000, 401, "r");
    CHECK(story.broken() == Rules{"owners"});
  }
  SECTION("while a lease runs that was renewed") {
    story.add("0.0", 1, Event::renewed, 500);
    story.executed("1.0", 1, 900, "r", 2);
    story.replayed(quiet_process, 1, 9'000, 901, "r");
    CHECK(story.broken() == Rules{"owners"});
  }
  SECTION("not once the lease has passed") {
    story.executed("1.0", 1, 700, "r", 2);
    story.replayed(quiet_process, 1, 9'000, 701, "r");
    CHECK(story.broken().empty());
  }
  SECTION("not once it gives its key back") {
    story.finishing("0.0", 1, 300, "-");
    story.executed("1.0", 1, 400, "r", 2);
    story.replayed(quiet_process, 1, 9'000, 401, "r");
    CHECK(story.broken().empty());
  }
}

TEST_CASE("a claim is placed by the storage's own time, however late its owner hears of it") {
  Story story;
  story.begin("0.0", 1, 100);
  story.acquired("0.0", 1, 1'500);  // it was stopped in between
  story.observed.lines.back().fence = Story::fence(101);
  story.observed.killed.insert("0.0");
  story.executed("1.0", 1, 1'400, "r", 2);
  story.replayed(quiet_process, 1, 9'000, 1'401, "r");
  CHECK(story.broken().empty());
}

TEST_CASE("fences that do not grow are found") {
  Story story;
  const auto given_back = [&](const std::string& process, std::int64_t at, std::int64_t fence, int attempt) {
    story.begin(process, 1, at);
    story.acquired(process, 1, at + 1, attempt);
    story.observed.lines.back().fence = fence;
    story.finishing(process, 1, at + 2, "-");
    story.end(process, 1, at + 3, "given_back").fence = fence;
  };
  given_back("0.0", 100, Story::fence(101), 1);
  SECTION("a later claim has a smaller one") { given_back("1.0", 200, Story::fence(50), 0); }
  SECTION("two claims have one") { given_back("1.0", 200, Story::fence(101), 2); }
  story.executed("2.0", 1, 1'000, "r", 3);
  story.replayed(quiet_process, 1, 9'000, 1'001, "r");
  CHECK(story.broken().count("fence") == 1);
}

TEST_CASE("attempts that do not grow are found") {
  Story story;
  story.begin("0.0", 1, 100);
  story.acquired("0.0", 1, 101);
  story.observed.killed.insert("0.0");
  story.executed("1.0", 1, 1'000, "r", 1);
  story.replayed(quiet_process, 1, 9'000, 1'001, "r");
  CHECK(story.broken() == Rules{"attempt"});
}

TEST_CASE("a fenced effect that is not there exactly once is found") {
  auto story = sound();
  SECTION("lost") {
    story.observed.accepted.clear();
    story.observed.standing.clear();
  }
  SECTION("replaced after the outcome was stored") { story.effect(300, "of nobody who completed"); }
  SECTION("another one stands than the one that was stored") {
    story.observed.standing["k"].result = "another";
  }
  SECTION("accepted under a smaller fence") {
    story.observed.accepted.insert(story.observed.accepted.begin(), {"k", Story::fence(5'000), "early"});
  }
  CHECK(story.broken() == Rules{"effect"});
}

TEST_CASE("a transactional effect that is not there exactly once is found") {
  Story story;
  story.kind = Kind::enlisted;
  story.executed("0.0", 1, 100, "r1");
  story.replayed(quiet_process, 1, 9'000, 101, "r1");
  SECTION("once") {
    story.observed.rows = {{"k", 0, "r1"}};
    CHECK(story.broken().empty());
  }
  SECTION("never") { CHECK(story.broken() == Rules{"rows"}); }
  SECTION("twice") {
    story.observed.rows = {{"k", 0, "r1"}, {"k", 0, "r1"}};
    CHECK(story.broken() == Rules{"rows"});
  }
  SECTION("with another result") {
    story.observed.rows = {{"k", 0, "r2"}};
    CHECK(story.broken() == Rules{"rows"});
  }
  SECTION("of a key that nobody named") {
    story.observed.rows = {{"k", 0, "r1"}, {"other", 0, "r2"}};
    CHECK(story.broken() == Rules{"rows"});
  }
}

TEST_CASE("a key that could not be driven to its end is found") {
  auto story = sound();
  story.key = "open";
  story.begin(quiet_process, 2, 9'000);
  story.end(quiet_process, 2, 9'001, "in_progress");
  CHECK(story.broken() == Rules{"end"});
}
