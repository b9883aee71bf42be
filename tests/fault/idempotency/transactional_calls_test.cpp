// Transactional calls: when they stop waiting, calls within calls, and what Guards do for them.
#include <onceward/storage/memory.hpp>

#include "transactional_service.hpp"

#include <latch>
#include <map>
#include <thread>

using namespace onceward;
using namespace std::chrono_literals;

using fault::Ask;
using fault::Service;

TEMPLATE_TEST_CASE("a call that is stopped before its handler runs nothing", "", ONCEWARD_TEST_DATABASES) {
  ONCEWARD_NEEDS(TestType)
  const TestType database;
  Service<TestType> service(database);
  std::stop_source before;
  before.request_stop();
  const auto returns = [](auto&&...) -> Result<std::string> { return std::string("ran"); };
  CHECK(service.call("k", returns, before.get_token()).verdict() == Verdict::in_progress);
  CHECK(service.runs == 0);
  // Stopped while it waits for the lock, which it then gets.
  Service<TestType> first(database);
  std::stop_source source;
  std::latch asks(1);
  std::optional<Outcome<std::string>> stopped;
  std::thread waiter;
  bool asked = false;
  service.transactions.on_point([&](std::string_view point) {
    if (point == "begin" && !std::exchange(asked, true)) asks.count_down();
  });
  (void)first.call("k", [&](auto&&...) -> Result<std::string> {
    waiter = std::thread([&] { stopped = service.call("k", returns, source.get_token()); });
    asks.wait();
    std::this_thread::sleep_for(50ms);  // it waits for the key by now; right either way
    source.request_stop();
    return fail(ErrorCode::unavailable, "bank closed");
  });
  waiter.join();
  CHECK(stopped->verdict() == Verdict::in_progress);
  CHECK(service.runs == 0);
  // What has run with effects is recorded all the same.
  std::stop_source during;
  CHECK_THROWS_AS(service.call(
                      "effects",
                      [&](auto&&, auto&&, Attempt& attempt) -> Result<std::string> {
                        during.request_stop();
                        service.transactions.fail_undos(ErrorCode::unavailable);
                        attempt.effects_started();
                        throw std::domain_error("the line is dead");
                      },
                      during.get_token()),
                  std::domain_error);
  CHECK(service.call("effects").verdict() == Verdict::in_doubt);
}

TEST_CASE("a wait for SQLite ends when the call is stopped, for a connection and for the file") {
  const fault::Sqlite database;
  Service<fault::Sqlite> service(database);
  Service<fault::Sqlite> other(database);
  const auto returns = [](auto&&...) -> Result<std::string> { return std::string("ran"); };
  for (auto* const holder : {&service, &other}) {
    std::optional<Outcome<std::string>> stopped;
    auto held = holder->real->begin().value();
    std::stop_source source;
    std::thread waiter([&] { stopped = service.call("k", returns, source.get_token()); });
    std::this_thread::sleep_for(50ms);  // it waits by now; right either way
    source.request_stop();
    waiter.join();  // while the transaction is held: 30 s of patience otherwise
    CHECK(held->storage().shard_count() > 0);
    CHECK(stopped->verdict() == Verdict::in_progress);
    CHECK(stopped->error()->code == ErrorCode::timeout);
  }
  CHECK(service.runs == 0);
}

TEST_CASE("a call within a call on the one connection of SQLite is refused at once [guard-71]") {
  const fault::Sqlite database;
  Service<fault::Sqlite> service(database);
  const auto began = std::chrono::steady_clock::now();
  const auto outer = service.call("outer", [&](auto&&...) -> Result<std::string> {
    const auto inner = service.call("inner");
    CHECK(inner.verdict() == Verdict::storage_down);
    CHECK(inner.error()->code == ErrorCode::wrong_state);
    return std::string("outer");
  });
  CHECK(outer.verdict() == Verdict::executed);
  CHECK(std::chrono::steady_clock::now() - began < 10s);
  CHECK(service.call("inner").verdict() == Verdict::executed);
}

TEMPLATE_TEST_CASE("every transactional call through Guards ends in exactly one figure [guard-82]", "",
                   ONCEWARD_TEST_DATABASES) {
  ONCEWARD_NEEDS(TestType)
  using Faulty = typename Service<TestType>::Faulty;
  const TestType database;
  const auto storage = database.storage();
  Guards guards(*storage);
  Service<TestType> service(database);
  service.policy.record_limit = 50ms;
  service.policy.attempts_max = 2;
  std::function<Result<std::string>(const Ask&, Attempt&)> work;
  auto guarded = transactional<Ask>(
      guards, service.transactions, "k:#{key}", service.policy,
      [&](typename TestType::Connection, const Ask& ask, Attempt& attempt) { return work(ask, attempt); });
  std::map<CallEnd, std::uint64_t> expected;
  const auto ends_as = [&](CallEnd end, const std::string& key) {
    try {
      (void)guarded({key});
    } catch (const std::exception&) {
      INFO("it is counted all the same");
    }
    ++expected[end];
    const auto figures = guards.figures("tx");
    INFO(key << " should end as " << to_string(end));
    for (std::size_t i = 0; i < call_ends; ++i) CHECK(figures.ended[i] == expected[static_cast<CallEnd>(i)]);
  };
  work = [](auto&&...) { return std::string("done"); };
  ends_as(CallEnd::executed, "k");
  ends_as(CallEnd::replayed, "k");
  service.transactions.fail_begins(ErrorCode::unavailable);
  ends_as(CallEnd::storage_down, "down");
  service.transactions.fail_commits(Faulty::Fault::before, ErrorCode::in_doubt);
  service.transactions.fail_begins(ErrorCode::unavailable, 1000, 1);
  ends_as(CallEnd::unrecorded, "lost");
  service.transactions.fail_begins(ErrorCode::unavailable, 0);
  service.transactions.fail_commits(Faulty::Fault::after, ErrorCode::in_doubt);
  ends_as(CallEnd::executed, "settled");
  ends_as(CallEnd::refused, std::string(limits::key_bytes, 'k'));
  work = [](auto&&...) { return fail(ErrorCode::conflict, "no such user"); };
  ends_as(CallEnd::failed, "final");
  ends_as(CallEnd::replayed, "final");
  work = [](auto&&...) { return fail(ErrorCode::unavailable, "bank closed"); };
  ends_as(CallEnd::released, "away");
  work = [](auto&&...) -> Result<std::string> { throw std::domain_error("no"); };
  ends_as(CallEnd::released, "away");
  ends_as(CallEnd::attempts_exhausted, "away");
  work = [](auto&&, Attempt& attempt) -> Result<std::string> {
    attempt.effects_started();
    throw std::domain_error("no");
  };
  ends_as(CallEnd::left_in_doubt, "effects");
  ends_as(CallEnd::in_doubt, "effects");
  work = [](auto&&...) { return std::string("\xff"); };
  ends_as(CallEnd::result_unavailable, "bytes");
  ends_as(CallEnd::result_unavailable, "bytes");
  REQUIRE(guards.override_policy("tx", Value(Map{{"on_duplicate", "raise"}})));
  ends_as(CallEnd::replayed, "k");
}

TEST_CASE("live policies change transactional and hybrid calls, but for what makes no sense in them") {
  const fault::Sqlite database;
  const auto storage = database.storage();
  Guards guards(*storage);  // not started: it needs no thread
  const auto transactions = database.transactions();
  FastPath fast([] { return open_memory(); });
  const auto away = [](SQLite::Database&, const Ask&) -> Result<int> {
    return fail(ErrorCode::unavailable, "bank closed");
  };
  const Policy policy{.operation = "tx"};
  auto plain = transactional<Ask>(guards, *transactions, "k:#{key}", policy, away);
  auto quick = hybrid<Ask>(guards, fast, *transactions, "h:#{key}", policy, away);
  CHECK(plain({"k"}).error()->message == "bank closed");
  CHECK(quick({"k"}).error()->message == "bank closed");
  REQUIRE(guards.override_policy("tx", Value(Map{{"attempts_max", 1},
                                                 {"auto_renew", true},
                                                 {"acknowledge", "post"},
                                                 {"on_storage_down", "fail_open"},
                                                 {"on_stale", "reconcile"}})));
  CHECK(plain({"k"}).verdict() == Verdict::attempts_exhausted);
  CHECK(quick({"k"}).verdict() == Verdict::attempts_exhausted);
  REQUIRE(guards.override_policy("tx", Value()));
  CHECK(plain({"k"}).attempt() == 2);
  CHECK(quick({"k"}).attempt() == 2);
  CHECK(guards.figures("tx").total() == 6);
}

#ifdef ONCEWARD_TEST_MARIADB
TEST_CASE("a call within a call has a connection of its own on MariaDB: each its own record [guard-71]") {
  ONCEWARD_NEEDS(fault::Mariadb)
  const fault::Mariadb database;
  Service<fault::Mariadb> service(database);
  const auto storage = database.storage();
  const auto shard = [&](const std::string& key) {
    return storage->shard_of(guard_partition("tx", "k:" + key));
  };
  std::string other = "inner";
  while (shard(other) == shard("outer")) other += '.';
  const auto outer = service.call("outer", [&](auto&&...) -> Result<std::string> {
    CHECK(service.call(other).verdict() == Verdict::executed);
    return std::string("outer");
  });
  CHECK(outer.verdict() == Verdict::executed);
  CHECK(service.rows(other) == 1);
  CHECK(service.call(other).verdict() == Verdict::replayed);
  CHECK(service.call("outer").verdict() == Verdict::replayed);
}
#endif
