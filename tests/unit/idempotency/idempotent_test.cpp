#include <onceward/idempotency/idempotent.hpp>
#include <onceward/storage/memory.hpp>
#include <onceward/testing/fake_clock.hpp>

#include "support/catch.hpp"

using namespace onceward;
using namespace std::chrono_literals;

namespace {

struct GrantRequest {
  std::string merchant;
  std::int64_t user = 0;
  std::string task;
  int points = 0;
};
struct GrantReceipt {
  std::string grant_id;
  std::int64_t balance = 0;
  std::optional<std::string> note;
  std::vector<int> parts;
  friend bool operator==(const GrantReceipt&, const GrantReceipt&) = default;
};
struct Note {
  std::string text;
};

const GrantRequest request{"gifts-uk", 42, "spend", 100};

}  // namespace

TEST_CASE("a wrapped handler runs once and its aggregate comes back equal [guard-1] [guard-2]") {
  const auto storage = open_memory().value();
  int runs = 0;
  auto grant = idempotent<GrantRequest>(*storage, "grant:#{merchant}:#{user}:#{task}",
                                        {.operation = "points.grant"}, [&](const GrantRequest& r) {
                                          ++runs;
                                          return GrantReceipt{"g-1", r.points + 5, "n", {1, 2}};
                                        });
  const auto first = grant(request);
  CHECK(first.verdict() == Verdict::executed);
  const auto again = grant(request);
  CHECK(again.verdict() == Verdict::replayed);
  CHECK(again.value() == first.value());
  CHECK(again.value() == GrantReceipt{"g-1", 105, "n", {1, 2}});
  CHECK(runs == 1);
}

TEST_CASE("results of every kind replay as they were [guard-4] [guard-5]") {
  const auto storage = open_memory().value();
  const auto twice = [&](std::string operation, auto handler) {
    auto call = idempotent<GrantRequest>(*storage, "k:#{user}", {.operation = std::move(operation)}, handler);
    const auto first = call(request);
    const auto second = call(request);
    CHECK(second.verdict() == Verdict::replayed);
    REQUIRE(second.has_value());
    CHECK(second.value() == first.value());
  };
  twice("void", [](const GrantRequest&) {});
  twice("zero", [](const GrantRequest&) { return 0; });
  twice("false", [](const GrantRequest&) { return false; });
  twice("text", [](const GrantRequest&) { return std::string(); });
  twice("optional", [](const GrantRequest&) { return std::optional<int>(); });
  twice("vector", [](const GrantRequest&) { return std::vector<std::string>{"a", ""}; });
  twice("double", [](const GrantRequest&) { return 0.1 + 0.2; });
  twice("unsigned", [](const GrantRequest&) { return ~std::uint64_t{0}; });
  twice("result", [](const GrantRequest&) { return Result<int>(3); });
}

TEST_CASE("key parts cannot run into each other [guard-8]") {
  const auto storage = open_memory().value();
  struct Pair {
    std::string a, b;
  };
  int runs = 0;
  auto call = idempotent<Pair>(*storage, "#{a}:#{b}", {}, [&](const Pair&) { return ++runs; });
  CHECK(call({"a:b", "c"}).value() == 1);
  CHECK(call({"a", "b:c"}).value() == 2);
}

TEST_CASE("a handler of several arguments is keyed by their names or positions, and by all of them") {
  const auto storage = open_memory().value();
  struct Order {
    std::int64_t id;
    std::int64_t pence;
  };
  struct Customer {
    std::string name;
  };
  int runs = 0;
  const auto pay = [&](const Order& order, const Customer&) { return order.pence + ++runs; };
  auto named = idempotent<Order, Customer>(
      *storage, {onceward::params("order", "customer"), "pay:#{order.id}:#{customer.name}"},
      {.operation = "pay"}, pay);
  auto placed = idempotent<Order, Customer>(*storage, "pay:#{p0.id}:#{a1.name}", {.operation = "pay"}, pay);
  CHECK(named(Order{7, 100}, Customer{"Ann"}).value() == 101);
  CHECK(named(Order{7, 100}, Customer{"Ann"}).verdict() == Verdict::replayed);
  CHECK(placed(Order{7, 100}, Customer{"Ann"}).value() == 101);  // the same key
  CHECK(placed(Order{7, 100}, Customer{"Bo"}).value() == 102);
  // The key is used for all the arguments: one that differs in what the key leaves out is no repetition.
  CHECK(named(Order{7, 200}, Customer{"Ann"}).verdict() == Verdict::key_reused);
  CHECK(runs == 2);
  auto plain = idempotent<std::int64_t, std::string>(*storage, "plain:#{p0}:#{p1}", {},
                                                     [&](std::int64_t, const std::string&) { ++runs; });
  CHECK(plain(1, "a:b").verdict() == Verdict::executed);
  CHECK(plain(1, "a:b").verdict() == Verdict::replayed);
  CHECK(runs == 3);
}

TEST_CASE("an error that cannot be mended is stored, one that can gives the key back [guard-11] [guard-12]") {
  const auto storage = open_memory().value();
  int runs = 0;
  ErrorCode code = ErrorCode::unavailable;
  auto call = idempotent<GrantRequest>(*storage, "k", {}, [&](const GrantRequest&) -> Result<int> {
    ++runs;
    return fail(code, "no");
  });
  CHECK(call(request).error()->code == ErrorCode::unavailable);
  code = ErrorCode::conflict;
  const auto second = call(request);
  CHECK(second.attempt() == 2);
  CHECK(second.error()->code == ErrorCode::conflict);
  const auto third = call(request);
  CHECK(third.verdict() == Verdict::replayed);
  CHECK(third.error()->code == ErrorCode::conflict);
  CHECK(runs == 2);
}

TEST_CASE("a throwing handler gives the key back and its exception arrives [guard-60]") {
  const auto storage = open_memory().value();
  bool throws = true;
  auto call = idempotent<GrantRequest>(*storage, "k", {}, [&](const GrantRequest&) {
    if (throws) throw std::domain_error("boom");
    return 1;
  });
  CHECK_THROWS_AS(call(request), std::domain_error);
  throws = false;
  const auto outcome = call(request);
  CHECK(outcome.verdict() == Verdict::executed);
  CHECK(outcome.attempt() == 2);
}

TEST_CASE("duplicates answer by result, code or exception, as the policy says") {
  const auto storage = open_memory().value();
  const auto handler = [](const GrantRequest&) { return 7; };
  const auto with = [&](OnDuplicate on) {
    return idempotent<GrantRequest>(*storage, "k", {.on_duplicate = on}, handler);
  };
  CHECK(with(OnDuplicate::replay)(request).verdict() == Verdict::executed);
  CHECK(with(OnDuplicate::replay)(request).value() == 7);
  const auto coded = with(OnDuplicate::code)(request);
  CHECK(coded.verdict() == Verdict::replayed);
  CHECK_FALSE(coded.has_value());
  CHECK_THROWS_AS(coded.value(), std::logic_error);
  CHECK_THROWS_AS(with(OnDuplicate::raise)(request), DuplicateCall);
}

TEST_CASE("another payload under the same key is refused [guard-40]") {
  const auto storage = open_memory().value();
  auto call =
      idempotent<GrantRequest>(*storage, "k:#{user}", {}, [](const GrantRequest& r) { return r.points; });
  CHECK(call(request).value() == 100);
  GrantRequest other = request;
  other.points = 200;
  const auto outcome = call(other);
  CHECK(outcome.verdict() == Verdict::key_reused);
  CHECK_FALSE(outcome.has_value());
}

TEST_CASE("the fingerprint is that of the content, not of its order [guard-43]") {
  const auto print = [](std::string_view json) {
    std::string payload;
    append_json(payload, Value::from_json(json).value());
    guard_detail::Fingerprint digits{};
    guard_detail::compute_fingerprint(payload, digits);
    return std::string(digits.data(), digits.size());
  };
  CHECK(print(R"({"a":1,"b":[1,2]})") == print(R"({ "b":[1,2], "a":1 })"));
  CHECK(print(R"({"a":1,"b":[1,2]})") != print(R"({"a":1,"b":[2,1]})"));
  CHECK(print(R"({"a":1})") != print(R"({"a":1.0})"));
}

TEST_CASE("a handler that changes its argument still completes the claimed key [guard-45]") {
  const auto storage = open_memory().value();
  GrantRequest mine = request;
  int runs = 0;
  auto call = idempotent<GrantRequest>(*storage, "k:#{user}", {}, [&](const GrantRequest&) {
    mine.user = 1000;  // what the caller passed, changed under the handler's feet
    return ++runs;
  });
  CHECK(call(mine).value() == 1);
  CHECK(call(request).verdict() == Verdict::replayed);
}

TEST_CASE("a key that cannot be made is an error before the storage is touched [guard-48]") {
  const auto storage = open_memory().value();
  auto call = idempotent<Note>(*storage, "#{text}", {}, [](const Note&) { return 1; });
  for (const auto& text : {std::string(), std::string(600, 'x')}) {
    const auto outcome = call({text});
    CHECK(outcome.verdict() == Verdict::storage_down);
    CHECK(outcome.error()->code == ErrorCode::invalid_argument);
  }
}

TEST_CASE("a stored result of another shape is not run again [guard-53]") {
  const auto storage = open_memory().value();
  auto before =
      idempotent<GrantRequest>(*storage, "k", {}, [](const GrantRequest&) { return std::string("text"); });
  CHECK(before(request).verdict() == Verdict::executed);
  auto after =
      idempotent<GrantRequest>(*storage, "k", {}, [](const GrantRequest&) { return GrantReceipt{}; });
  CHECK(after(request).verdict() == Verdict::result_unavailable);
}

TEST_CASE("a result too large to store is given once and never run again") {
  const auto storage = open_memory().value();
  int runs = 0;
  auto call = idempotent<GrantRequest>(*storage, "k", {.result_bytes_max = 1000}, [&](const GrantRequest&) {
    ++runs;
    return std::string(2000, 'x');
  });
  const auto first = call(request);
  CHECK(first.verdict() == Verdict::result_unavailable);
  CHECK(first.value().size() == 2000);
  const auto second = call(request);
  CHECK(second.verdict() == Verdict::result_unavailable);
  CHECK(second.error()->code == ErrorCode::limit_exceeded);
  CHECK(runs == 1);
}

TEST_CASE("a broken template or policy is refused at start-up") {
  const auto storage = open_memory().value();
  const auto handler = [](const GrantRequest&) { return 1; };
  CHECK_THROWS_AS((idempotent<GrantRequest>(*storage, "k:#{user", {}, handler)), std::invalid_argument);
  CHECK_THROWS_AS((idempotent<GrantRequest>(*storage, "k", {.lease = 0s}, handler)), std::invalid_argument);
}

namespace {

struct Till {
  int sold = 0;
  int sell(const std::string& what) {
    ++sold;
    return static_cast<int>(what.size());
  }
  [[nodiscard]] std::string look(const std::string& what, Attempt& attempt) const {
    return what + " " + std::to_string(attempt.number());
  }
};
struct Kiosk : Till {};

}  // namespace

TEST_CASE("member functions are guarded: of a base, of a constant object, and with the attempt") {
  const auto storage = open_memory().value();
  Kiosk kiosk;
  auto sell = idempotent<std::string>(*storage, "#{p0}", {.operation = "sell"}, &Till::sell, kiosk);
  CHECK(sell("tea").value() == 3);
  CHECK(sell("tea").verdict() == Verdict::replayed);
  CHECK(kiosk.sold == 1);
  const Till till;
  auto look = idempotent<std::string>(*storage, "#{p0}", {.operation = "look"}, &Till::look, till);
  CHECK(look("tea").value() == "tea 1");
}
