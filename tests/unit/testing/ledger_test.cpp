#include <onceward/core/limits.hpp>
#include <onceward/testing/ledger.hpp>

#include "support/catch.hpp"

#include <limits>
#include <thread>

using namespace onceward;
using testing::Ledger;
using Fault = Ledger::Fault;

TEST_CASE("a credit takes effect once for its token and is answered with the same receipt again") {
  Ledger ledger;
  const auto first = ledger.credit("t1", "ann", 50).value();
  CHECK(first == Ledger::Receipt{.id = "r1", .token = "t1", .account = "ann", .amount = 50, .balance = 50});
  CHECK(ledger.credit("t2", "ann", 25)->balance == 75);
  CHECK(ledger.credit("t3", "bob", 5)->balance == 5);
  CHECK(ledger.credit("t1", "ann", 50).value() == first);
  CHECK(ledger.balance("ann") == 75);
  CHECK(ledger.balance("bob") == 5);
  CHECK(ledger.balance("cid") == 0);
  CHECK(ledger.calls() == 4);
  const auto effects = ledger.effects();
  REQUIRE(effects.size() == 3);
  CHECK(effects[0] == first);
  CHECK(effects[1].id == "r2");
  CHECK(effects[2].account == "bob");
}

TEST_CASE("a token that came before with other arguments is a conflict and changes nothing") {
  Ledger ledger;
  CHECK(ledger.credit("t1", "ann", 50));
  CHECK(ledger.credit("t1", "ann", 51).error().code == ErrorCode::conflict);
  CHECK(ledger.credit("t1", "bob", 50).error().code == ErrorCode::conflict);
  CHECK(ledger.balance("ann") == 50);
  CHECK(ledger.balance("bob") == 0);
  CHECK(ledger.effects().size() == 1);
}

TEST_CASE("a reversal takes back what its credit added, once") {
  Ledger ledger;
  CHECK(ledger.credit("t1", "ann", 50));
  CHECK(ledger.credit("t2", "ann", 25));
  const auto undone = ledger.reverse("t1", "u1").value();
  CHECK(undone ==
        Ledger::Receipt{
            .id = "r3", .token = "u1", .account = "ann", .amount = -50, .balance = 25, .reverses = "t1"});
  CHECK(ledger.reverse("t1", "u1").value() == undone);
  CHECK(ledger.reverse("t1", "u2").error().code == ErrorCode::wrong_state);
  CHECK(ledger.balance("ann") == 25);
  CHECK(ledger.effects().size() == 3);
  // The credit still answers as it did: its caller may ask late.
  CHECK(ledger.credit("t1", "ann", 50)->balance == 50);
  CHECK(ledger.balance("ann") == 25);
}

TEST_CASE("a reversal needs a credit and a token of its own") {
  Ledger ledger;
  CHECK(ledger.reverse("t1", "u1").error().code == ErrorCode::not_found);
  CHECK(ledger.credit("t1", "ann", 50));
  CHECK(ledger.credit("t2", "ann", 25));
  CHECK(ledger.reverse("t1", "t2").error().code == ErrorCode::conflict);
  CHECK(ledger.reverse("t1", "t1").error().code == ErrorCode::conflict);
  CHECK(ledger.reverse("t1", "u1"));
  CHECK(ledger.reverse("t2", "u1").error().code == ErrorCode::conflict);
  CHECK(ledger.reverse("u1", "u2").error().code == ErrorCode::not_found);
  CHECK(ledger.credit("u1", "ann", 50).error().code == ErrorCode::conflict);
  CHECK(ledger.reverse("t2", "u2"));
  CHECK(ledger.balance("ann") == 0);
}

TEST_CASE("what makes no sense is refused and changes nothing") {
  Ledger ledger;
  const std::string longest(limits::key_bytes, 't');
  CHECK(ledger.credit(longest, longest, 1));
  for (const auto& refused :
       {ledger.credit("", "ann", 1), ledger.credit("t", "", 1), ledger.credit("t", "ann", 0),
        ledger.credit("t", "ann", -1), ledger.credit(longest + "t", "ann", 1),
        ledger.credit("t", longest + "a", 1), ledger.reverse("", "u"), ledger.reverse(longest, "")}) {
    CHECK(refused.error().code == ErrorCode::invalid_argument);
  }
  CHECK(ledger.effects().size() == 1);
  constexpr auto most = std::numeric_limits<std::int64_t>::max();
  CHECK(ledger.credit("much", "ann", most));
  CHECK(ledger.credit("more", "ann", 1).error().code == ErrorCode::out_of_range);
  CHECK(ledger.balance("ann") == most);
  CHECK(ledger.reverse("much", "undo")->balance == 0);
  CHECK(ledger.credit("more", "ann", 1)->balance == 1);
}

TEST_CASE("a fault before the call leaves nothing, a fault after it loses only the reply") {
  Ledger ledger;
  ledger.fail_next(Fault::before, 2);
  ledger.fail_next(Fault::after);
  CHECK(ledger.credit("t1", "ann", 50).error().code == ErrorCode::unavailable);
  CHECK(ledger.credit("t1", "ann", 50).error().code == ErrorCode::unavailable);
  CHECK(ledger.effects().empty());
  CHECK(ledger.credit("t1", "ann", 50).error().code == ErrorCode::in_doubt);
  CHECK(ledger.effects().size() == 1);
  CHECK(ledger.credit("t1", "ann", 50)->id == "r1");
  CHECK(ledger.balance("ann") == 50);
  CHECK(ledger.calls() == 4);
}

TEST_CASE("the lost reply of a refusal, of a repeat and of a reversal is as lost") {
  Ledger ledger;
  CHECK(ledger.credit("t1", "ann", 50));
  ledger.fail_next(Fault::after, 3);
  CHECK(ledger.credit("t1", "ann", 51).error().code == ErrorCode::in_doubt);
  CHECK(ledger.credit("t1", "ann", 50).error().code == ErrorCode::in_doubt);
  CHECK(ledger.reverse("t1", "u1").error().code == ErrorCode::in_doubt);
  CHECK(ledger.balance("ann") == 0);
  CHECK(ledger.reverse("t1", "u1")->id == "r2");
}

TEST_CASE("a healed ledger fails no more, and no faults are none") {
  Ledger ledger;
  ledger.fail_next(Fault::before, 0);
  CHECK(ledger.credit("t1", "ann", 50));
  ledger.fail_next(Fault::before, 1000);
  CHECK_FALSE(ledger.credit("t2", "ann", 50));
  ledger.heal();
  CHECK(ledger.credit("t2", "ann", 50));
}

TEST_CASE("four threads that send the same tokens have each effect once") {
  Ledger ledger;
  ledger.fail_next(Fault::after, 500);
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&] {
      for (int i = 0; i < 500; ++i) {
        const auto token = "t" + std::to_string(i);
        while (!ledger.credit(token, "ann", 2)) std::this_thread::yield();
        const auto undo = "u" + std::to_string(i);
        while (i % 2 == 0 && !ledger.reverse(token, undo)) std::this_thread::yield();
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(ledger.effects().size() == 750);
  CHECK(ledger.balance("ann") == 500);
  CHECK(ledger.calls() == 4 * 750 + 500);
}
