// What a client is told of every outcome, and that a replay is the same response.
#include <onceward/expr/value.hpp>
#include <onceward/idempotency/http.hpp>
#include <onceward/idempotency/idempotent.hpp>
#include <onceward/storage/memory.hpp>
#include <onceward/testing/fake_clock.hpp>

#include "support/catch.hpp"

#include <set>

using namespace onceward;
using namespace std::chrono_literals;

namespace {

struct Payment {
  std::string key;
  int pence = 0;
};

const std::string* header(const http::Response& response, std::string_view name) {
  for (const auto& [is, value] : response.headers) {
    if (is == name) return &value;
  }
  return nullptr;
}

Outcome<http::Response> ended(Verdict verdict, std::optional<Error> error = {}, Duration retry_after = {}) {
  Outcome<http::Response> outcome(verdict);
  return outcome.with_claim(1, 7, retry_after).with_error(std::move(error));
}

const http::Response created{
    201, {{"Content-Type", "application/json"}, {"Location", "/payments/1"}}, "{\"id\":1}"};

}  // namespace

TEST_CASE("every verdict without a result has its status, its pause and a type of its own") {
  struct Line {
    Verdict verdict;
    int status;
    bool retry;
  };
  std::set<std::string> types;
  for (const auto& line : std::vector<Line>{{Verdict::in_progress, 409, true},
                                            {Verdict::key_reused, 422, false},
                                            {Verdict::in_doubt, 409, true},
                                            {Verdict::lease_lost, 409, true},
                                            {Verdict::replayed, 409, false},
                                            {Verdict::result_unavailable, 500, false},
                                            {Verdict::attempts_exhausted, 500, false},
                                            {Verdict::storage_down, 503, true}}) {
    INFO(to_string(line.verdict));
    const auto problem = http::problem_of(ended(line.verdict));
    REQUIRE(problem);
    CHECK(problem->status == line.status);
    CHECK(problem->retry_after_s == (line.retry ? std::optional<std::int64_t>(5) : std::nullopt));
    CHECK_FALSE(problem->title.empty());
    CHECK_FALSE(problem->detail.empty());
    CHECK(types.insert(problem->type).second);
  }
}

TEST_CASE("an error of the storage or of the handler decides the status by what the caller can do") {
  struct Line {
    ErrorCode code;
    int unasked, handler;
  };
  for (const auto& line : std::vector<Line>{{ErrorCode::unavailable, 503, 503},
                                            {ErrorCode::timeout, 503, 503},
                                            {ErrorCode::in_doubt, 503, 503},
                                            {ErrorCode::corrupt, 500, 500},
                                            {ErrorCode::invalid_argument, 400, 400},
                                            {ErrorCode::exhausted, 503, 500},
                                            {ErrorCode::not_found, 400, 404},
                                            {ErrorCode::conflict, 400, 409},
                                            {ErrorCode::wrong_state, 400, 409},
                                            {ErrorCode::limit_exceeded, 400, 400}}) {
    INFO(to_string(line.code));
    const Error error{line.code, "card 4111111111111111 of ann"};
    for (const auto verdict : {Verdict::executed, Verdict::replayed, Verdict::storage_down}) {
      const auto problem = http::problem_of(ended(verdict, error)).value();
      CHECK(problem.status == (verdict == Verdict::storage_down ? line.unasked : line.handler));
      CHECK(problem.retry_after_s.has_value() == (problem.status == 503));
      CHECK(http::to_json(problem).find("4111") == std::string::npos);
    }
  }
}

TEST_CASE("Retry-After is in whole seconds, rounded up, at least 1, and at most what the rules say") {
  struct Line {
    Duration told;
    std::int64_t seconds;
  };
  for (const auto& [told, seconds] : std::vector<Line>{{1us, 1},
                                                       {999ms, 1},
                                                       {1s, 1},
                                                       {1s + 1us, 2},
                                                       {5s, 5},
                                                       {5s + 1us, 5},
                                                       {30s, 5},
                                                       {0s, 5},
                                                       {-3s, 5},
                                                       {Duration::max(), 5}}) {
    CHECK(http::problem_of(ended(Verdict::in_progress, {}, told))->retry_after_s == seconds);
  }
  const http::AnswerRules patient{.retry_after = Duration::max()};
  CHECK(http::problem_of(ended(Verdict::in_progress, {}, 30s), patient)->retry_after_s == 30);
  CHECK(http::problem_of(ended(Verdict::in_progress), patient)->retry_after_s == 9223372036855);
  for (const auto rule : {Duration::zero(), Duration(-1s), Duration::min()})
    CHECK(http::problem_of(ended(Verdict::in_progress), {.retry_after = rule})->retry_after_s == 1);
  const auto response = http::answer(ended(Verdict::in_progress, {}, 1500ms));
  CHECK(response.status == 409);
  CHECK(*header(response, "Retry-After") == "2");
  CHECK(*header(response, "Content-Type") == "application/problem+json");
}

TEST_CASE("a problem is JSON whatever its texts hold") {
  http::Problem problem{
      422, {}, "https://pay.example/#a", "quote \" and \\", "line\r\n\ttab \x01 caf\xc3\xa9"};
  const auto text = http::to_json(problem);
  for (const char c : text) CHECK(static_cast<unsigned char>(c) >= 0x20);
  const auto read = Value::from_json(text).value();
  CHECK(read.map()->size() == 4);
  CHECK(*read.find("type")->string() == problem.type);
  CHECK(*read.find("title")->string() == problem.title);
  CHECK(*read.find("detail")->string() == problem.detail);
  CHECK(*read.find("status")->integer() == 422);
}

TEST_CASE("a result is sent as the application made it, also where it could not be stored") {
  for (const auto verdict : {Verdict::executed, Verdict::replayed, Verdict::result_unavailable}) {
    auto outcome = ended(verdict);
    CHECK(http::answer(outcome.with_value(created)) == created);
    CHECK_FALSE(http::problem_of(outcome));
  }
  auto late = ended(Verdict::lease_lost);
  CHECK(http::answer(late.with_value(created)).status == 409);  // the other attempt's outcome counts
}

TEST_CASE("a replay is marked where that is asked for, and only a replay") {
  auto first = ended(Verdict::executed), second = ended(Verdict::replayed);
  const http::AnswerRules marking{.mark_replays = true};
  CHECK(http::answer(first.with_value(created), marking) == created);
  const auto replay = http::answer(second.with_value(created), marking);
  CHECK(*header(replay, "Idempotency-Replayed") == "true");
  CHECK(replay.status == 201);
  CHECK(replay.body == created.body);
  CHECK(header(http::answer(ended(Verdict::in_progress), marking), "Idempotency-Replayed") == nullptr);
}

TEST_CASE("headers of one connection, secrets and what splits a response are neither stored nor sent") {
  const std::vector<http::Header> all{{"Location", "/a"},
                                      {"connection", "close"},
                                      {"Transfer-Encoding", "chunked"},
                                      {"DATE", "now"},
                                      {"Set-Cookie", "s=1"},
                                      {"Proxy-Authenticate", "x"},
                                      {"Content-Length", "3"},
                                      {"", "x"},
                                      {"Bad Name", "x"},
                                      {"X:Y", "x"},
                                      {"X-A", "a\r\nSet-Cookie: b"},
                                      {"X-B", std::string("a\0b", 3)},
                                      {"X-C", "a\x7f"},
                                      {"X-D", "tab\tand caf\xc3\xa9"}};
  const std::vector<http::Header> kept{{"Location", "/a"}, {"X-D", "tab\tand caf\xc3\xa9"}};
  CHECK(http::replayable(all) == kept);
  auto outcome = ended(Verdict::replayed);
  CHECK(http::answer(outcome.with_value({200, all, "b"})).headers == kept);
}

TEST_CASE("a guarded handler that returns a response replays it byte for byte, refusals too") {
  testing::FakeClock clock;
  auto storage = open_memory({.clock = &clock}).value();
  int runs = 0;
  auto pay = idempotent<Payment>(*storage, "pay:#{key}", {.operation = "pay"}, [&](const Payment& payment) {
    ++runs;
    if (payment.pence > 100) return http::Response{402, {}, "too much"};
    return created;
  });
  for (const int pence : {50, 500}) {
    const Payment payment{"k" + std::to_string(pence), pence};
    const auto first = http::answer(pay(payment));
    CHECK(first == (pence == 50 ? created : http::Response{402, {}, "too much"}));
    CHECK(http::answer(pay(payment)) == first);
    CHECK(http::answer(pay({payment.key, 51})).status == 422);
  }
  CHECK(runs == 2);
}

TEST_CASE("a key that grows too long when it is escaped is the client's to mend") {
  auto storage = open_memory().value();
  auto pay = idempotent<Payment>(*storage, "pay:#{key}", {.operation = "pay"},
                                 [](const Payment&) { return created; });
  const auto response = http::answer(pay({std::string(255, ':'), 1}));
  CHECK(response.status == 400);
  CHECK(response.body.find("key-unusable") != std::string::npos);
}

TEST_CASE("a body that is no UTF-8 reaches its own caller and is never charged again") {
  auto storage = open_memory().value();
  int runs = 0;
  auto pay = idempotent<Payment>(*storage, "pay:#{key}", {.operation = "pay"}, [&](const Payment&) {
    ++runs;
    return http::Response{200, {}, "\xff\xfe"};
  });
  CHECK(http::answer(pay({"a", 1})).body == "\xff\xfe");
  CHECK(http::answer(pay({"a", 1})).status == 500);
  CHECK(runs == 1);
}

TEST_CASE("a response says whether it is replayed once, whatever the handler put there") {
  auto marked = created;
  marked.headers.push_back({"idempotency-Replayed", "false"});
  auto outcome = ended(Verdict::replayed);
  outcome.with_value(marked);
  for (const bool marks : {true, false}) {
    const auto sent = http::answer(outcome, {.mark_replays = marks});
    const auto named =
        std::count_if(sent.headers.begin(), sent.headers.end(), [](const http::Header& header) {
          return header.name == "Idempotency-Replayed" || header.name == "idempotency-Replayed";
        });
    CHECK(named == (marks ? 1 : 0));
  }
}
