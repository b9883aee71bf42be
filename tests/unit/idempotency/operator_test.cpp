// What operators do about keys: every act on memory storage, with rivals and lost answers.
#include <onceward/idempotency/idempotent.hpp>
#include <onceward/idempotency/operator.hpp>
#include <onceward/storage/memory.hpp>
#include <onceward/testing/fake_clock.hpp>
#include <onceward/testing/faulty_storage.hpp>
#include <onceward/testing/recorded_journal.hpp>

#include "support/catch.hpp"

#include <set>

using namespace onceward;
using namespace std::chrono_literals;
using testing::FaultyStorage;

namespace {

struct Ask {
  std::string key;
};

const By ann{"ann", "ticket 41"};

struct Fixture {
  testing::FakeClock clock;
  std::unique_ptr<Storage> memory = open_memory({.clock = &clock}).value();
  FaultyStorage storage{*memory};
  testing::RecordedJournal journal;
  GuardOperator keys{storage, &journal};
  Policy policy{.operation = "grant",
                .lease = 30s,
                .retention = 24h,
                .on_stale = OnStale::in_doubt,
                .fingerprint = false};
  int runs = 0;

  Guard claim(const std::string& key) { return Guard::claim(storage, key, policy).value(); }
  /// A claim whose owner never comes back.
  Revision abandon(const std::string& key) {
    storage.fail_calls(FaultyStorage::Call::commit, FaultyStorage::Fault::before, ErrorCode::unavailable, 1,
                       1);
    const auto fence = claim(key).fence();  // giving it back fails
    storage.heal();
    clock.advance(31s);
    return fence;
  }
  void end(const std::string& key) { claim(key).complete("result of " + key); }
  Outcome<std::string> call(const std::string& key) {
    auto guarded = idempotent<Ask>(storage, "#{key}", policy, [&](const Ask&) {
      ++runs;
      return std::string("ran");
    });
    return guarded({key});
  }
  KeyView view(const std::string& key) { return keys.inspect("grant", key).value().value(); }
};

}  // namespace

TEST_CASE_METHOD(Fixture, "an operator sees where a key stands") {
  CHECK_FALSE(keys.inspect("grant", "k").value());
  auto guard = claim("k");
  auto seen = view("k");
  CHECK(seen.standing == KeyStanding::claimed);
  CHECK(seen.lease_left == 30s);
  CHECK(seen.left == Duration(24h));
  CHECK(seen.attempt == 1);
  CHECK(seen.fence == guard.fence());
  clock.advance(31s);
  seen = view("k");
  CHECK(seen.standing == KeyStanding::stale);
  CHECK(seen.lease_left == -1s);
  CHECK(seen.age == 31s);
  guard.leave_in_doubt({ErrorCode::in_doubt, "no answer of the bank"});
  seen = view("k");
  CHECK(seen.standing == KeyStanding::in_doubt);
  CHECK(seen.error->message == "no answer of the bank");
  CHECK(seen.operation == "grant");
  end("done");
  CHECK(view("done").standing == KeyStanding::done);
  CHECK(view("done").result == Value("result of done"));
  claim("failed").complete_with_error({ErrorCode::conflict, "sold out"});
  CHECK(view("failed").standing == KeyStanding::failed);
  CHECK(view("failed").error->code == ErrorCode::conflict);
  (void)claim("released");
  CHECK(view("released").standing == KeyStanding::released);
  REQUIRE(commit_one(*memory, {guard_partition("grant", "bad"), {Operation::insert("bad", "{")}})->applied());
  CHECK(view("bad").standing == KeyStanding::unreadable);
  CHECK(view("bad").error->code == ErrorCode::corrupt);
  CHECK_FALSE(view("bad").left);
}

TEST_CASE_METHOD(Fixture, "a key in doubt that is resolved as done is replayed and never run [guard-34]") {
  const auto fence = abandon("k");
  REQUIRE(call("k").verdict() == Verdict::in_doubt);
  const auto before = view("k");
  const auto ruling = keys.resolve("grant", "k", Resolution::done("found at the bank"), ann).value();
  REQUIRE(ruling.done());
  CHECK(ruling.key->standing == KeyStanding::done);
  CHECK(ruling.key->resolved_by == "ann");
  CHECK(ruling.key->reason == "ticket 41");
  CHECK(view("k").revision == ruling.key->revision);
  CHECK(view("k").result == Value("found at the bank"));
  CHECK(view("k").left == before.left);  // what was left of its retention, not a new one
  const auto outcome = call("k");
  CHECK(outcome.verdict() == Verdict::replayed);
  CHECK(outcome.value() == "found at the bank");
  CHECK(outcome.fence() == fence);
  CHECK(outcome.attempt() == 1);
  CHECK(runs == 0);
  REQUIRE(journal.lines().size() == 1);
  CHECK(journal.lines()[0] == testing::RecordedJournal::Line{"guard", guard_partition("grant", "k"), "k",
                                                             "resolve", "stale", "done", "ann", "ticket 41"});
  clock.advance(*before.left);
  CHECK(call("k").verdict() == Verdict::executed);
}

TEST_CASE_METHOD(Fixture,
                 "a key in doubt that is resolved as failed gives its error from then on [guard-34]") {
  claim("k").leave_in_doubt({ErrorCode::in_doubt, "?"});
  REQUIRE(keys.resolve("grant", "k", Resolution::failed({ErrorCode::conflict, "refused"}), ann)->done());
  const auto outcome = call("k");
  CHECK(outcome.verdict() == Verdict::replayed);
  CHECK(outcome.error()->message == "refused");
  CHECK(runs == 0);
  CHECK(journal.lines().at(0).from == "in_doubt");
  CHECK(journal.lines().at(0).to == "failed");
}

TEST_CASE_METHOD(Fixture,
                 "a key in doubt that is given back runs as the next attempt [guard-34] [guard-39]") {
  const auto fence = abandon("k");
  REQUIRE(keys.resolve("grant", "k", Resolution::give_back(), ann)->done());
  CHECK(view("k").resolved_by == "ann");
  const auto outcome = call("k");
  CHECK(outcome.verdict() == Verdict::executed);
  CHECK(outcome.attempt() == 2);
  CHECK(outcome.fence() > fence);
  CHECK(runs == 1);
}

TEST_CASE_METHOD(Fixture, "a key that an operator gives back runs, its attempts used up or not") {
  policy.attempts_max = 1;
  abandon("k");
  REQUIRE(keys.resolve("grant", "k", Resolution::give_back(), ann)->done());
  // Given back twice it is told so, and what it is told is true.
  const auto again = keys.resolve("grant", "k", Resolution::give_back(), ann).value();
  REQUIRE_FALSE(again.done());
  CHECK(again.refused->message == "the key \"k\" was given back by \"ann\": the next call runs");
  CHECK(call("k").verdict() == Verdict::executed);
  CHECK(runs == 1);
  // One that its owner gave back, after its last attempt.
  REQUIRE(claim("own").release().has_value());
  CHECK(call("own").verdict() == Verdict::attempts_exhausted);
  const auto done = keys.resolve("grant", "own", Resolution::done(), ann).value();
  CHECK(done.refused->code == ErrorCode::wrong_state);
  CHECK(done.refused->message.find("unless its attempts are used up") != std::string::npos);
  REQUIRE(keys.resolve("grant", "own", Resolution::give_back(), ann)->done());
  CHECK(journal.lines().back().from == "released");
  CHECK(call("own").attempt() == 2);
  CHECK(runs == 2);
}

TEST_CASE_METHOD(Fixture, "a live claim is left alone unless it is forced, and its owner is told then") {
  auto guard = claim("k");
  auto ruling = keys.resolve("grant", "k", Resolution::done("mine"), ann).value();
  CHECK(ruling.refused->code == ErrorCode::wrong_state);
  CHECK(ruling.key->standing == KeyStanding::claimed);
  ruling = keys.forget("grant", "k", ann).value();
  CHECK(ruling.refused->code == ErrorCode::wrong_state);
  CHECK(journal.lines().empty());
  By forced = ann;
  forced.force = true;
  REQUIRE(keys.resolve("grant", "k", Resolution::done("mine"), forced)->done());
  CHECK(guard.complete("the owner's").verdict == Verdict::lease_lost);
  CHECK(call("k").value() == "mine");
}

TEST_CASE_METHOD(Fixture, "what has ended, or was given back, is not resolved") {
  end("done");
  claim("failed").complete_with_error({ErrorCode::conflict, "no"});
  (void)claim("released");
  By forced = ann;
  forced.force = true;
  for (const std::string key : {"done", "failed", "released"}) {
    const auto before = view(key);
    const auto ruling = keys.resolve("grant", key, Resolution::done("another"), forced).value();
    CHECK(ruling.refused->code == ErrorCode::wrong_state);
    CHECK(ruling.key->revision == before.revision);
    CHECK(view(key).revision == before.revision);
  }
  CHECK(keys.resolve("grant", "nowhere", Resolution::done(), ann)->refused->code == ErrorCode::not_found);
  CHECK(keys.forget("grant", "nowhere", ann)->refused->code == ErrorCode::not_found);
  CHECK(journal.lines().empty());
}

TEST_CASE_METHOD(Fixture, "a forgotten key runs anew under a larger fence") {
  REQUIRE(call("k").verdict() == Verdict::executed);
  const auto fence = call("k").fence();
  REQUIRE(keys.forget("grant", "k", ann)->done());
  CHECK_FALSE(keys.inspect("grant", "k").value());
  const auto again = call("k");
  CHECK(again.verdict() == Verdict::executed);
  CHECK(again.attempt() == 1);
  CHECK(again.fence() > fence);
  CHECK(runs == 2);
  CHECK(journal.lines().at(0).trigger == "forget");
  CHECK(journal.lines().at(0).to.empty());
  REQUIRE(commit_one(*memory, {guard_partition("grant", "bad"), {Operation::insert("bad", "{")}})->applied());
  CHECK(keys.resolve("grant", "bad", Resolution::done(), ann)->refused->code == ErrorCode::wrong_state);
  CHECK(keys.forget("grant", "bad", ann)->done());
}

TEST_CASE_METHOD(Fixture, "an owner that completes between an operator's look and his write wins") {
  for (const bool forgets : {false, true}) {
    const std::string key = forgets ? "forgotten" : "resolved";
    auto guard = claim(key);
    clock.advance(31s);  // stale, and its owner lives
    bool first = true;
    storage.on_call([&](std::string_view point) {
      if (point != "commit.before" || !std::exchange(first, false)) return;
      REQUIRE(guard.complete("the owner's").recorded);
    });
    const auto ruling = forgets ? keys.forget("grant", key, ann).value()
                                : keys.resolve("grant", key, Resolution::give_back(), ann).value();
    storage.on_call({});
    CHECK(ruling.refused->code == ErrorCode::conflict);
    CHECK(ruling.key->standing == KeyStanding::done);
    CHECK(ruling.key->result == Value("the owner's"));
    CHECK(call(key).value() == "the owner's");
    CHECK(journal.lines().empty());
  }
}

TEST_CASE_METHOD(Fixture, "of two operators the first one's word stands") {
  abandon("k");
  GuardOperator other(*memory, &journal);
  bool first = true;
  storage.on_call([&](std::string_view point) {
    if (point != "commit.before" || !std::exchange(first, false)) return;
    REQUIRE(other.resolve("grant", "k", Resolution::done("bob's"), {"bob", "ticket 41"})->done());
  });
  const auto ruling = keys.resolve("grant", "k", Resolution::done("ann's"), ann).value();
  CHECK(ruling.refused->code == ErrorCode::conflict);
  CHECK(ruling.key->resolved_by == "bob");
  CHECK(call("k").value() == "bob's");
  CHECK(journal.lines().size() == 1);
}

TEST_CASE_METHOD(Fixture, "an act whose answer is lost is read back, told once, and never repeated") {
  for (const auto code : {ErrorCode::in_doubt, ErrorCode::timeout}) {
    for (const auto fault : {FaultyStorage::Fault::before, FaultyStorage::Fault::after}) {
      for (const bool forgets : {false, true}) {
        const auto key = std::to_string(static_cast<int>(code)) +
                         (fault == FaultyStorage::Fault::before ? "b" : "a") + (forgets ? "f" : "r");
        abandon(key);
        const auto told = journal.lines().size();
        storage.fail_calls(FaultyStorage::Call::commit, fault, code);
        const auto ruling = forgets ? keys.forget("grant", key, ann)
                                    : keys.resolve("grant", key, Resolution::done("found"), ann);
        REQUIRE(ruling);
        CHECK(ruling->done());
        CHECK(journal.lines().size() == told + 1);
        if (forgets) CHECK_FALSE(keys.inspect("grant", key).value());
        if (!forgets) CHECK(call(key).value() == "found");
      }
    }
  }
  CHECK(runs == 0);
}

TEST_CASE_METHOD(Fixture, "after a lost answer a rival's write is not taken for one's own") {
  abandon("k");
  GuardOperator other(*memory);
  storage.fail_calls(FaultyStorage::Call::commit, FaultyStorage::Fault::before, ErrorCode::in_doubt);
  bool first = true;
  storage.on_call([&](std::string_view point) {
    // The same words by the same actor: yet another act.
    if (point != "read.before" || storage.calls(FaultyStorage::Call::commit) == 0) return;
    if (other.inspect("grant", "k").value()->standing != KeyStanding::stale || !first) return;
    if (storage.calls(FaultyStorage::Call::read) < 2) return;
    first = false;
    REQUIRE(other.resolve("grant", "k", Resolution::done("found"), ann)->done());
  });
  const auto ruling = keys.resolve("grant", "k", Resolution::done("found"), ann).value();
  REQUIRE_FALSE(first);
  CHECK(ruling.refused->code == ErrorCode::conflict);
  CHECK(ruling.key->result == Value("found"));
  CHECK(journal.lines().empty());
}

TEST_CASE_METHOD(Fixture, "an operator is told of a storage that stays away, and nothing is in the journal") {
  abandon("k");
  storage.fail_calls(FaultyStorage::Call::commit, FaultyStorage::Fault::before, ErrorCode::unavailable);
  CHECK(keys.resolve("grant", "k", Resolution::done(), ann).error().code == ErrorCode::unavailable);
  storage.fail_calls(FaultyStorage::Call::commit, FaultyStorage::Fault::before, ErrorCode::in_doubt, 100);
  CHECK(keys.resolve("grant", "k", Resolution::done(), ann).error().code == ErrorCode::in_doubt);
  CHECK(journal.lines().empty());
  CHECK(view("k").standing == KeyStanding::stale);
}

TEST_CASE_METHOD(Fixture, "actor and reason are needed and bounded") {
  abandon("k");
  const std::string much(1025, 'x');
  for (const By& by : {By{"", "why"}, By{"ann", ""}, By{std::string_view(much).substr(0, 129), "why"},
                       By{"ann", much}, By{"\xff", "why"}, By{"ann", "\xc3"}}) {
    CHECK(keys.resolve("grant", "k", Resolution::done(), by).error().code == ErrorCode::invalid_argument);
    CHECK(keys.forget("grant", "k", by).error().code == ErrorCode::invalid_argument);
    CHECK(keys.purge("grant", 1s, by).error().code == ErrorCode::invalid_argument);
  }
  CHECK(keys.resolve("grant", "", Resolution::done(), ann).error().code == ErrorCode::invalid_argument);
  CHECK(keys.resolve("No", "k", Resolution::done(), ann).error().code == ErrorCode::invalid_argument);
  CHECK(keys.resolve("grant", "k", Resolution::done("\xff"), ann).error().code ==
        ErrorCode::invalid_argument);
  CHECK(keys.resolve("grant", "k", Resolution::failed({ErrorCode::conflict, "\xff"}), ann).error().code ==
        ErrorCode::invalid_argument);
  CHECK(keys.list("grant", KeyStandings::unresolved(), {}, 0).error().code == ErrorCode::invalid_argument);
  CHECK(keys.list("grant", KeyStandings::unresolved(), {}, 1001).error().code == ErrorCode::invalid_argument);
  for (const auto* cursor : {"x", "256:", "-1:", "1", ":", "1x:"})
    CHECK(keys.list("grant", KeyStandings::unresolved(), cursor).error().code == ErrorCode::invalid_argument);
  CHECK(keys.purge("grant", 0s, ann).error().code == ErrorCode::invalid_argument);
  CHECK(keys.purge("grant", 1s, ann, {.limit = 0}).error().code == ErrorCode::invalid_argument);
  CHECK(view("k").standing == KeyStanding::stale);
}

TEST_CASE_METHOD(Fixture, "keys are listed by where they stand, each once, in bounded round trips") {
  std::set<std::string> wanted;
  for (int i = 0; i < 300; ++i) {
    const auto key = "k" + std::to_string(i);
    if (i % 3 == 0) {
      end(key);
    } else if (i % 3 == 1) {
      claim(key).leave_in_doubt({ErrorCode::in_doubt, "?"});
      wanted.insert(key);
    } else {
      wanted.insert(key);
      abandon(key);
    }
  }
  Policy other = policy;
  other.operation = "grants";  // a name that begins alike
  Guard::claim(storage, "k1", other)->leave_in_doubt({ErrorCode::in_doubt, "?"});
  for (const std::size_t limit : {1U, 7U, 1000U}) {
    std::set<std::string> found;
    std::string cursor;
    do {
      const auto before = storage.calls(FaultyStorage::Call::scan);
      const auto page = keys.list("grant", KeyStandings::unresolved(), cursor, limit).value();
      CHECK(storage.calls(FaultyStorage::Call::scan) - before <= 32);
      CHECK(page.keys.size() <= limit);
      for (const auto& key : page.keys) CHECK(found.insert(key.key).second);
      cursor = page.cursor;
    } while (!cursor.empty());
    CHECK(found == wanted);
  }
}

TEST_CASE_METHOD(Fixture, "purge removes what ended longer ago, in batches, and nothing else [guard-80]") {
  for (int i = 0; i < 40; ++i) end("old" + std::to_string(i));
  claim("old failed").complete_with_error({ErrorCode::conflict, "no"});
  (void)claim("old released");
  claim("doubt").leave_in_doubt({ErrorCode::in_doubt, "?"});
  abandon("stale");
  clock.advance(1h);
  for (int i = 0; i < 10; ++i) end("young" + std::to_string(i));
  auto live = claim("live");
  const auto first = keys.purge("grant", 1h, ann, {.limit = 5, .within_retention = true}).value();
  CHECK(first.removed == 5);
  CHECK_FALSE(first.cursor.empty());
  int told = 0;
  const auto rest = keys.purge("grant", 1h, ann, {.cursor = first.cursor, .within_retention = true},
                               [&](const Purged& so_far) {
                                 ++told;
                                 return so_far.removed < 20;
                               })
                        .value();
  CHECK(rest.removed >= 20);
  CHECK(rest.removed < 42);
  const auto last = keys.purge("grant", 1h, ann, {.cursor = rest.cursor, .within_retention = true}).value();
  CHECK(first.removed + rest.removed + last.removed == 42);
  CHECK(last.cursor.empty());
  CHECK(told > 0);
  CHECK(journal.lines().size() == 42);
  CHECK(journal.lines()[0].trigger == "purge");
  CHECK(journal.lines()[0].actor == "ann");
  CHECK(keys.purge("grant", 1h, ann, {.within_retention = true})->removed == 0);
  CHECK(view("stale").standing == KeyStanding::stale);
  CHECK(view("doubt").standing == KeyStanding::in_doubt);
  CHECK(view("live").standing == KeyStanding::claimed);
  for (int i = 0; i < 10; ++i) CHECK(call("young" + std::to_string(i)).verdict() == Verdict::replayed);
  CHECK(call("old1").verdict() == Verdict::executed);
}

TEST_CASE_METHOD(Fixture, "without being told so, purge takes nothing within its retention [guard-80]") {
  for (int i = 0; i < 10; ++i) end("k" + std::to_string(i));
  clock.advance(2h);
  const auto kept = keys.purge("grant", 1us, ann).value();
  CHECK(kept.removed == 0);
  CHECK(kept.looked_at == 10);
  for (int i = 0; i < 10; ++i) CHECK(call("k" + std::to_string(i)).verdict() == Verdict::replayed);
  clock.advance(policy.retention);
  CHECK(keys.purge("grant", 1us, ann)->looked_at == 0);
  CHECK(call("k0").verdict() == Verdict::executed);
}

TEST_CASE_METHOD(Fixture, "a key that moves while it is purged stays [guard-80]") {
  end("k");
  clock.advance(2h);
  bool first = true;
  storage.on_call([&](std::string_view point) {
    if (point != "commit.before" || !std::exchange(first, false)) return;
    GuardOperator other(*memory);
    REQUIRE(other.forget("grant", "k", ann)->done());
    auto guard = Guard::claim(*memory, "k", policy).value();
    REQUIRE(guard.complete("new").recorded);
  });
  CHECK(keys.purge("grant", 1h, ann, {.within_retention = true})->removed == 0);
  CHECK(view("k").result == Value("new"));
  CHECK(journal.lines().empty());
}

TEST_CASE_METHOD(Fixture, "a purge whose answer is lost goes on and counts what it removed [guard-80]") {
  for (int i = 0; i < 20; ++i) end("k" + std::to_string(i));
  clock.advance(2h);
  storage.fail_calls(FaultyStorage::Call::commit, FaultyStorage::Fault::after, ErrorCode::in_doubt, 3);
  CHECK(keys.purge("grant", 1h, ann, {.within_retention = true})->removed == 20);
  CHECK(journal.lines().size() == 20);
}
