// What is due is done whatever else cannot be done.
#include "support.hpp"

#include "support/catch.hpp"

#include <limits>

using namespace task_test;
using Lines = std::vector<std::string>;

namespace {

const std::string once = "<task id='t'><on event='paid'/>" + stage(1, 10) + "</task>";
const std::string invite =
    "<task id='i'><on event='first' credit='event.inviter'/>" + stage(1, 10) + "</task>";

/// So many lists within each other.
Value nested(int levels) {
  Value value(std::int64_t{1});
  for (int i = 0; i < levels; ++i) value = Value(List{value});
  return value;
}

}  // namespace

TEST_CASE("attributes that cannot be written down for later are refused when they are reported") {
  Shop shop(once + invite);
  const auto refused = [&](Map attributes) {
    const auto event = shop.event(std::move(attributes), "2024-03-10T12:00:00Z", "ann", "first");
    CHECK(shop.center->report(event).error().code == ErrorCode::invalid_argument);
    CHECK(shop.center->report_async(event).error().code == ErrorCode::invalid_argument);
  };
  refused({{"x", nested(49)}, {"inviter", "bob"}});
  refused({{"x", std::numeric_limits<double>::quiet_NaN()}, {"inviter", "bob"}});
  refused({{"x", "\xff"}, {"inviter", "bob"}});
  refused({{"\xff", 1}, {"inviter", "bob"}});
  // The deepest there may be is passed on and stored, and comes back as it was.
  shop.report(shop.event({{"x", nested(48)}, {"inviter", "bob"}}, "2024-03-10T12:00:00Z", "ann", "first"));
  const auto deep = shop.event({{"x", nested(48)}});
  const auto ticket = shop.center->report_async(deep).value();
  shop.settle();
  CHECK(shop.center->receipt(ticket).value().has_value());
  CHECK(shop.center->report(deep).value().duplicate);
  CHECK(shop.granted->list() == Lines{"ann/t/-/1=10", "bob/i/-/1=10"});
}

TEST_CASE("a todo that cannot be read stands in nobody's way, and is kept for who can read it") {
  testing::RecordedJournal journal;
  Shop shop(once, "UTC", &journal);
  const std::string later = R"({"kind":"of_a_later_version","grant":"shop/eve/t/-/1/1"})";
  shop.memory
      ->commit({{Batch{"shop/user/eve",
                       {Operation::insert("todo/new/1", later, {.due_in = Duration::zero()}),
                        Operation::insert("instance/t/-", "{}", {.due_in = Duration::zero()})}}}})
      .value();
  const auto mine = shop.center->report_async(shop.event()).value();
  shop.clock.advance(std::chrono::minutes(5));
  CHECK(shop.center->work().value().taken == 1);
  CHECK(shop.center->work().value().taken == 0);
  CHECK(shop.center->receipt(mine).value().has_value());
  CHECK(read_one(*shop.memory, "shop/user/eve", "todo/new/1").value()->value == later);
  CHECK(read_one(*shop.memory, "shop/user/eve", "instance/t/-").value()->value == "{}");
  const auto lines = journal.lines();
  const auto told = [&](std::string_view subject) {
    return std::count_if(lines.begin(), lines.end(), [&](const auto& line) {
      return line.subject == subject && line.reason.starts_with("corrupt: ");
    });
  };
  CHECK(told("todo/new/1") == 1);
  CHECK(told("instance/t/-") == 1);
  shop.clock.advance(std::chrono::minutes(5));
  shop.center->work().value();
  CHECK(shop.memory->due({}, 10).value().entries.empty());
}

TEST_CASE("a merchant another process serves does not stand in the way of this one's") {
  Shop shop("<task id='t' within='1h'><on event='paid'/>" + stage(2, 10) + "</task>");
  PlanCatalog catalog;
  Runner runner(shop.storage, catalog);
  const auto other = [&] {
    auto center = std::make_unique<TaskCenter>(shop.storage, catalog, runner);
    center->publish(shop.campaign(once, "UTC", "other")).value();
    return center;
  };
  // It takes events and dies.
  std::vector<Ticket> tickets;
  {
    const auto center = other();
    for (int i = 0; i < 1100; ++i) {
      auto event = shop.event({}, "2024-03-10T12:00:00Z", "u" + std::to_string(i));
      event.merchant = "other";
      tickets.push_back(center->report_async(event).value());
    }
  }
  auto event = shop.event();
  event.at = shop.clock.now();
  shop.report(event);
  const auto mine = shop.center->report_async(shop.event({}, "2024-03-10T12:00:00Z", "bob")).value();
  shop.clock.advance(std::chrono::hours(2));
  for (int i = 0; i < 3; ++i) shop.center->work().value();
  CHECK(shop.view("t", "-").status == Status::expired);
  CHECK(shop.center->receipt(mine).value().has_value());
  // What was put off is done by who can.
  shop.clock.advance(std::chrono::seconds(1));
  const auto center = other();
  for (int i = 0; i < 20; ++i) center->work().value();
  for (const auto& ticket : tickets) REQUIRE(center->receipt(ticket).value().has_value());
}

TEST_CASE("rewards to be taken back later do not stand in the way of others") {
  Shop shop(
      "<task id='t' on-refund='clawback'><on event='paid'/>"
      "<stage target='1' pipeline='grant' take-back='take'><arg name='points' value='10'/></stage></task>"
      "<task id='w' within='1h'><on event='walk'/>" +
      stage(2, 10) + "</task>");
  shop.granted->fail_calls = 1'000'000;  // the downstream is down
  for (int i = 0; i < 300; ++i) {
    const auto user = "u" + std::to_string(i);
    const auto order = shop.event({}, "2024-03-10T12:00:00Z", user);
    shop.report(order);
    auto refund = shop.event({}, "2024-03-10T13:00:00Z", user, "refunded");
    refund.reverses = order.id;
    shop.report(refund);
  }
  shop.clock.advance(std::chrono::minutes(1));
  const auto mine = shop.center->report_async(shop.event({}, "2024-03-10T12:00:00Z", "zoe", "walk")).value();
  for (int i = 0; i < 4; ++i) shop.center->work().value();
  CHECK(shop.center->receipt(mine).value().has_value());
  shop.granted->fail_calls = 0;
  shop.settle();
  CHECK(shop.granted->list().size() == 600);  // given and taken back
}

TEST_CASE("stored events that cannot be applied yet stand in nobody's way, and are applied once they can") {
  Shop shop("<task id='t' period='day' zone='user'><on event='paid'/>" + stage(2, 10) + "</task>");
  std::vector<Ticket> tickets;
  for (int i = 0; i < 300; ++i) {
    const auto user = "m" + std::to_string(i);
    shop.profiles[user].timezone = "Mars/Base";
    tickets.push_back(shop.center->report_async(shop.event({}, "2024-03-10T12:00:00Z", user)).value());
  }
  shop.clock.advance(std::chrono::seconds(1));
  const auto mine = shop.center->report_async(shop.event()).value();
  std::size_t calls = 0;
  while (shop.center->work().value().taken > 0 && ++calls < 20) continue;
  for (int i = 0; i < 3; ++i) shop.center->work().value();
  CHECK(calls < 20);
  CHECK(shop.center->receipt(mine).value().has_value());
  for (auto& [user, profile] : shop.profiles) profile.timezone.clear();
  shop.settle();
  for (const auto& ticket : tickets) REQUIRE(shop.center->receipt(ticket).value().has_value());
}

TEST_CASE("a task centre that only stores calls no step; work() of another does it at once") {
  testing::RecordedJournal journal;
  const auto tasks =
      once + "<task id='q' collect='manual'><on event='paid'/>" + stage(1, 20) +
      "<quota limit='1' at='collection'/></task><task id='h' complete='manual'><on event='x'/>" +
      stage(1, 30) + "</task>" + invite;
  Shop shop(tasks);
  TaskCenter stores(shop.storage, shop.catalog, *shop.runner,
                    {.lease = std::chrono::hours(1), .journal = &journal, .store_only = true});
  stores.publish(shop.campaign(tasks)).value();
  const auto event = shop.event();
  CHECK(stores.report(event).value().grants.at(0).state == RunState::running);
  CHECK(stores.report(event).value().duplicate);
  CHECK(stores.collect(shop.request("q")).value().outcome == Reply::Outcome::done);
  CHECK(stores.complete(shop.request("h")).value().outcome == Reply::Outcome::done);
  stores.report(shop.event({{"inviter", "bob"}}, "2024-03-10T12:00:00Z", "ann", "first")).value();
  CHECK(shop.granted->calls() == 0);
  CHECK(journal.lines().empty());
  while (shop.center->work().value().taken > 0) continue;  // without a lease that has to end
  CHECK(shop.granted->list() == Lines{"ann/h/-/1=30", "ann/q/-/1=20", "ann/t/-/1=10", "bob/i/-/1=10"});
  CHECK(shop.granted->calls() == 4);
}

TEST_CASE("records that others leave due for ever hide no stored event") {
  Shop shop("<task id='t'><on event='paid'/>" + stage(1, 10) + "</task>");
  for (int i = 0; i < 2000; ++i) {
    const Batch batch{"guard/" + std::to_string(i),
                      {Operation::insert("k", "v", {.due_in = Duration::zero()})}};
    shop.memory->commit({&batch, 1}).value();
  }
  shop.clock.advance(std::chrono::seconds(1));
  shop.center->report_async(shop.event()).value();
  shop.clock.advance(std::chrono::seconds(1));
  shop.center->work().value();
  CHECK(shop.granted->list() == std::vector<std::string>{"ann/t/-/1=10"});
}
