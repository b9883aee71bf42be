// Policies that change while calls run: what changes when, what is refused, and how it is taken back.
#include <onceward/idempotency/idempotent.hpp>

#include "guards_bench.hpp"

#include <atomic>
#include <map>
#include <optional>
#include <vector>

using namespace onceward;
using namespace std::chrono_literals;
using guards_bench::Bench;
using guards_bench::state_in;

TEST_CASE("a change reaches the RAII form, spans and wrappers that were made before it") {
  Bench bench;
  auto call =
      idempotent<std::string>(bench.guards, "#{p0}", bench.policy, [](const std::string&) { return 1; });
  REQUIRE(bench.guards.override_policy("b", Map{{"attempts_max", 1}}).has_value());
  for (const auto* key : {"raii", "span", "wrapped"}) REQUIRE(bench.claim(key).release().has_value());
  CHECK(bench.claim("raii").verdict() == Verdict::attempts_exhausted);
  const std::vector<Guards::Request> span = {{"span"}};
  CHECK(bench.guards.claim_many(span, bench.policy)[0]->verdict() == Verdict::attempts_exhausted);
  CHECK(call("wrapped").verdict() == Verdict::attempts_exhausted);
  REQUIRE(bench.guards.override_policy("b", Value()).has_value());
  CHECK(bench.claim("raii").acquired());
  CHECK(call("wrapped").verdict() == Verdict::executed);
}

TEST_CASE("a change is of one operation, replaces the one before it, and a wrong one leaves that in force") {
  Bench bench;
  REQUIRE(bench.guards.override_policy("b", Map{{"lease_ms", 5000}}).has_value());
  auto owner = bench.claim("k");
  CHECK(bench.claim("k").retry_after() <= 5s);
  CHECK(Guard::claim(bench.guards, "k", {.operation = "other", .lease = 60s})->acquired());
  const auto wrong = bench.guards.override_policy("b", Map{{"lease_ms", 1000}, {"on_busy", "sleep"}});
  REQUIRE_FALSE(wrong.has_value());
  CHECK(wrong.error().message.find("on_busy") != std::string::npos);
  auto second = bench.claim("second");
  CHECK(bench.claim("second").retry_after() > 4s);
  REQUIRE(bench.guards.override_policy("b", Map{{"attempts_max", 7}}).has_value());
  auto third = bench.claim("third");
  CHECK(bench.claim("third").retry_after() > 50s);
  CHECK(bench.guards.override_policy("never heard of", Value()).has_value());
}

TEST_CASE(
    "a change that was given before its operation is known holds where it fits, and is left where not") {
  Bench bench;
  REQUIRE(bench.guards.override_policy("late", Map{{"lease_ms", 10'000}}).has_value());
  auto fits = Guard::claim(bench.guards, "a", {.operation = "late"}).value();
  CHECK(Guard::claim(bench.guards, "a", {.operation = "late"})->retry_after() <= 10s);
  const Policy brief{.operation = "late", .lease = 1s, .retention = 2s};
  auto own = Guard::claim(bench.guards, "b", brief).value();
  REQUIRE(own.acquired());
  CHECK(Guard::claim(bench.guards, "b", brief)->retry_after() <= 1s);
}

TEST_CASE("a call keeps the policy it began with") {
  Bench bench;
  auto guard = bench.claim("k");
  REQUIRE(bench.guards.override_policy("b", Map{{"result_bytes_max", 1}}).has_value());
  CHECK(guard.complete(Value("longer than one byte")).verdict == Verdict::executed);
  CHECK(bench.claim("next").complete(Value("longer")).verdict == Verdict::result_unavailable);
}

TEST_CASE("an operation moves to another storage by its name and back, what runs stays where it began") {
  const auto other = open_memory().value();
  Bench bench({.storages = {{"other", other.get()}}});
  auto before = bench.claim("k");
  REQUIRE(bench.guards.override_policy("b", Map{{"storage", "other"}, {"lease_ms", 9000}}).has_value());
  CHECK(bench.claim("k").complete(Value("there")).recorded);
  CHECK(state_in(*other, "b", "k") == "done");
  CHECK(before.complete(Value("here")).recorded);
  CHECK(bench.state("k") == "done");
  CHECK(bench.claim("k").result() == Value("there"));
  REQUIRE(bench.guards.override_policy("b", Value()).has_value());
  CHECK(bench.claim("k").result() == Value("here"));
  const auto unknown = bench.guards.override_policy("b", Map{{"storage", "elsewhere"}});
  CHECK(unknown.error().message.find("storage") != std::string::npos);
}

TEST_CASE("the payload's fingerprint and the kept replays follow their change") {
  struct Sent {
    std::string id;
    std::string at;
  };
  Bench bench;
  auto call = idempotent<Sent>(bench.guards, "#{id}", bench.policy, [](const Sent&) { return 1; });
  CHECK(call({"a", "monday"}).verdict() == Verdict::executed);
  CHECK(call({"a", "tuesday"}).verdict() == Verdict::key_reused);
  REQUIRE(bench.guards.override_policy("b", Map{{"fingerprint", false}, {"replay_cache", 100}}).has_value());
  CHECK(call({"a", "tuesday"}).verdict() == Verdict::replayed);
  const auto commits = bench.commits();
  CHECK(call({"a", "wednesday"}).verdict() == Verdict::replayed);
  CHECK(bench.commits() == commits);
  REQUIRE(bench.guards.override_policy("b", Value()).has_value());
  CHECK(call({"a", "wednesday"}).verdict() == Verdict::key_reused);
  CHECK(call({"a", "monday"}).verdict() == Verdict::replayed);
  CHECK(bench.commits() == commits + 2);
}

TEST_CASE("changes come and go while calls of many threads run") {
  Bench bench;
  auto call = idempotent<std::string>(bench.guards, "#{p0}", bench.policy,
                                      [](const std::string& text) { return text; });
  std::atomic<bool> ends = false;
  std::atomic<int> wrong = 0;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 3; ++i) {
      threads.emplace_back([&, i] {
        for (int j = 0; j < 300; ++j) {
          const auto key = std::to_string(i) + ":" + std::to_string(j);
          if (call(key).verdict() != Verdict::executed) ++wrong;
          if (call(key).verdict() != Verdict::replayed) ++wrong;
        }
      });
    }
    threads.emplace_back([&] {
      for (int j = 0; !ends; ++j) {
        (void)bench.guards.override_policy("b", j % 3 == 0 ? Value() : Value(Map{{"replay_cache", j % 50}}));
      }
    });
    for (int i = 0; i < 3; ++i) threads[static_cast<std::size_t>(i)].join();
    ends = true;
  }
  CHECK(wrong == 0);
}

namespace {

struct Sender {
  std::string agent;
  std::int64_t sent_at = 0;
};
struct Sent {
  std::string id;
  std::optional<Sender> meta{};
  std::map<std::string, std::int64_t> extra{};
  std::vector<Sender> hops{};
};

}  // namespace

TEST_CASE("fields to leave out are checked to their last part, when a wrapper is made and when it changes") {
  Bench bench;
  const auto make = [&](std::vector<std::string> without) {
    auto policy = bench.policy;
    policy.fingerprint_without = std::move(without);
    return idempotent<Sent>(bench.guards, "#{id}", policy, [](const Sent&) { return 1; });
  };
  for (const auto* fine : {"id", "meta", "meta.sent_at", "extra", "extra.anything", "hops"}) {
    INFO(fine);
    CHECK_NOTHROW(make({fine}));
  }
  for (const auto* wrong : {"nope", "meta.tpyo", "meta.sent_at.zone", "hops.agent", "id.length", "ext"}) {
    INFO(wrong);
    CHECK_THROWS_AS(make({"id", wrong}), std::invalid_argument);
  }
  auto call = make({});
  CHECK(call({"a", Sender{"x", 1}}).verdict() == Verdict::executed);
  CHECK(call({"a", Sender{"x", 2}}).verdict() == Verdict::key_reused);
  const auto refused = bench.guards.override_policy("b", Map{{"fingerprint_without", List{"meta.tpyo"}}});
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.error().message.find("meta.sent_at") != std::string::npos);
  REQUIRE(bench.guards.override_policy("b", Map{{"fingerprint_without", List{"meta.sent_at"}}}).has_value());
  CHECK(call({"n", Sender{"x", 1}}).verdict() == Verdict::executed);
  CHECK(call({"n", Sender{"x", 2}}).verdict() == Verdict::replayed);
}

TEST_CASE("a change is checked although all wrappers of its operation are gone") {
  Bench bench;
  {
    (void)idempotent<std::string>(bench.guards, "#{p0}", bench.policy, [](const std::string&) { return 1; });
  }
  CHECK_FALSE(bench.guards.override_policy("b", Map{{"nonsense", 1}}).has_value());
  CHECK_FALSE(bench.guards.override_policy("b", Map{{"lease_ms", -5}}).has_value());
  CHECK(bench.guards.override_policy("b", Map{{"lease_ms", 5}}).has_value());
}
