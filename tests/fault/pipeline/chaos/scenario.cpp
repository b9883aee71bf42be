#include "scenario.hpp"

#include <fmt/format.h>

namespace chaos {

using namespace onceward;
using namespace std::chrono_literals;

namespace {

constexpr int partitions = 97;
constexpr int groups = 8;
constexpr int quorum_winners = 2;

bool is_vip(int number) noexcept { return number % 2 == 0; }
bool is_caught(int number) noexcept { return number % 3 == 0; }
int items_of(int number) noexcept { return number % 4 + (mode_of(number) == Mode::item ? 1 : 0); }

/// Of 7 % calls that fail no run of ten thousand uses them up.
constexpr RetryPolicy patient{.attempts = 60, .first = 5ms, .factor = 1.5, .cap = 100ms};

template <class Builder>
Builder& book(Builder& builder, std::string id, Arguments arguments) {
  return builder.step(std::move(id), "book@1", std::move(arguments)).retry(patient).undo({.retry = patient});
}

}  // namespace

Mode mode_of(int number) noexcept {
  switch (number % 20) {
    case 3: return Mode::fails;
    case 6: return Mode::late;
    case 9: return Mode::branch;
    case 10: return Mode::item;
    case 12:
    case 13: return Mode::cancelled;
    case 15:
    case 16: return Mode::forward;
    case 18: return Mode::forward_fails;
    case 19: return Mode::serial;
    default: return Mode::succeeds;
  }
}

bool recovers_backward(int number) noexcept {
  const auto mode = mode_of(number);
  return mode != Mode::forward && mode != Mode::forward_fails && mode != Mode::serial;
}

std::string group_of(int number) {
  return mode_of(number) == Mode::serial ? fmt::format("group{}", number / 20 % groups) : std::string();
}

RunName name_of(int number) {
  if (mode_of(number) == Mode::serial) return {"chaos-serial", group_of(number), fmt::format("r{}", number)};
  return {recovers_backward(number) ? "chaos" : "chaos-forward", fmt::format("user{}", number % partitions),
          fmt::format("r{}", number)};
}

std::int64_t payload_of(int number) noexcept { return 100'000 + number; }

Value input_of(int number) {
  if (mode_of(number) == Mode::serial) return Map{{"n", number}, {"group", group_of(number)}};
  if (!recovers_backward(number)) return Map{{"n", number}, {"bad", mode_of(number) == Mode::forward_fails}};
  static constexpr std::string_view modes[] = {"", "fails", "late", "branch", "item", "", "", "", ""};
  List items;
  const auto count = items_of(number);
  for (int i = 0; i < count; ++i) {
    items.push_back(Map{{"key", fmt::format("k/{}", i)},
                        {"amount", 10 * number + i},
                        {"bad", mode_of(number) == Mode::item && i + 1 == count}});
  }
  return Map{{"n", number},
             {"vip", is_vip(number)},
             {"caught", is_caught(number)},
             {"items", std::move(items)},
             {"mode", modes[static_cast<std::size_t>(mode_of(number))]}};
}

Plans compile_plans(const StepRegistry& registry, PlanCatalog& catalog) {
  auto inner = pipeline("chaos-inner").input("n", Value::Kind::integer);
  book(inner, "in1", {{"amount", "n"}});
  book(inner, "in2", {{"amount", "n + 1"}, {"ref", "steps.in1.receipt"}}).result("n + 7");
  catalog.add(inner.compile(registry).value()).value();

  auto all = pipeline("chaos").recover(Recover::backward);
  all.input("n", Value::Kind::integer)
      .input("vip", Value::Kind::boolean)
      .input("caught", Value::Kind::boolean);
  all.input("items", Value::Kind::list).input("mode", Value::Kind::string);
  book(all, "first", {{"amount", "n"}});
  all.parallel("fan", Join::all, [](Branches& b) {
    book(b, "left", {{"amount", "n + 1"}, {"ref", "steps.first.receipt"}});
    b.sequence("mid", [](Body& s) {
      book(s, "mid1", {{"amount", "n + 2"}});
      book(s, "mid2", {{"amount", "n + 3"}, {"ref", "steps.mid1.receipt"}});
    });
    book(b, "right", {{"amount", "n + 4"}, {"reject", "mode == 'branch'"}});
  });
  all.choose("which",
             when("vip",
                  [](Body& b) {
                    book(b, "gold", {{"amount", "n + 5"}});
                  }),
             otherwise([](Body& b) {
               book(b, "plain", {{"amount", "n + 6"}});
             }));
  all.foreach ("each", {.items = "items", .variable = "item", .item_key = "item.key", .concurrency = 2},
               [](Body& b) {
                 book(b, "pay", {{"amount", "item.amount"}, {"reject", "item.bad"}});
                 book(b, "note", {{"amount", "item.amount + 1"}, {"ref", "steps.pay.receipt"}});
               });
  all.attempt(
      "try",
      [](Body& b) {
        book(b, "risky", {{"amount", "n + 7"}, {"reject", "caught"}});
      },
      {on_error("closed",
                [](Body& b) {
                  book(b, "mend", {{"amount", "n + 8"}});
                })},
      [](Body& b) {
        book(b, "always", {{"amount", "n + 9"}});
      });
  all.parallel("any", Join::any, [](Branches& b) {
    for (int i = 0; i < 3; ++i) book(b, fmt::format("any{}", i), {{"amount", "n + 1"}});
  });
  all.parallel(
      "quorum", Join::quorum,
      [](Branches& b) {
        for (int i = 0; i < 4; ++i)
          book(b, fmt::format("most{}", i), {{"amount", "n + 2"}, {"reject", i == 0 ? "true" : "false"}});
      },
      OnFail::wait, quorum_winners);
  all.call("sub", "chaos-inner", {{"n", "n * 2"}}).wait("pause", 30ms).await("go", "go", 20min);
  all.set("total", "(steps.go ?: 0) + steps.sub");
  book(all, "last", {{"amount", "total"}, {"ref", "steps.first.receipt"}, {"reject", "mode == 'late'"}});
  all.fail("stop", "asked_for").when("mode == 'fails'").result("total");

  auto forward = pipeline("chaos-forward");
  forward.input("n", Value::Kind::integer).input("bad", Value::Kind::boolean);
  book(forward, "f1", {{"amount", "n"}});
  book(forward, "f2", {{"amount", "n + 1"}, {"ref", "steps.f1.receipt"}, {"reject", "bad"}});
  book(forward, "f3", {{"amount", "n + 2"}, {"ref", "steps.f2.receipt"}});

  auto serial = pipeline("chaos-serial").serial_by("group");
  serial.input("n", Value::Kind::integer).input("group", Value::Kind::string);
  book(serial, "s1", {{"amount", "n"}});
  book(serial, "s2", {{"amount", "n + 1"}, {"ref", "steps.s1.receipt"}});

  Plans plans{all.compile(registry, &catalog).value(), forward.compile(registry).value(),
              serial.compile(registry).value()};
  catalog.add(plans.backward).value();
  catalog.add(plans.forward).value();
  catalog.add(plans.serial).value();
  return plans;
}

std::size_t winners_of(const std::string& race) noexcept {
  return race == "quorum" ? std::size_t{quorum_winners} : 1;
}

std::vector<Expected> expected_of(int number) {
  const auto mode = mode_of(number);
  const std::int64_t n = number;
  if (mode == Mode::forward) return {{"f1", 1, n}, {"f2", 2, n + 1, "f1"}, {"f3", 3, n + 2, "f2"}};
  if (mode == Mode::forward_fails) return {{"f1", 1, n}};
  if (mode == Mode::serial) return {{"s1", 1, n}, {"s2", 2, n + 1, "s1"}};
  std::vector<Expected> all{{"first", 1, n}};
  const bool in_branches = mode != Mode::branch;
  all.push_back({"left", 2, n + 1, "first", in_branches});
  all.push_back({"mid1", 2, n + 2, {}, in_branches});
  all.push_back({"mid2", 2, n + 3, "mid1", in_branches});
  if (mode == Mode::branch) return all;
  all.push_back({"right", 2, n + 4});
  all.push_back(is_vip(number) ? Expected{"gold", 3, n + 5} : Expected{"plain", 3, n + 6});
  const auto count = items_of(number);
  for (int i = 0; i < count; ++i) {
    if (mode == Mode::item && i + 1 == count) break;
    const auto item = fmt::format("each[k%2F{}]/", i);
    all.push_back({item + "pay", 4, 10 * n + i, {}, mode != Mode::item});
    all.push_back({item + "note", 4, 10 * n + i + 1, item + "pay", mode != Mode::item});
  }
  if (mode == Mode::item) return all;
  all.push_back(is_caught(number) ? Expected{"mend", 5, n + 8} : Expected{"risky", 5, n + 7});
  all.push_back({"always", 6, n + 9});
  for (int i = 0; i < 3; ++i) all.push_back({fmt::format("any{}", i), 7, n + 1, {}, false, "any"});
  for (int i = 1; i < 4; ++i) all.push_back({fmt::format("most{}", i), 7, n + 2, {}, false, "quorum"});
  all.push_back({"sub/in1", 7, 2 * n});
  all.push_back({"sub/in2", 8, 2 * n + 1, "sub/in1"});
  if (mode != Mode::late) all.push_back({"last", 9, payload_of(number) + 2 * n + 7, "first"});
  return all;
}

bool may_end_as(int number, RunState state) noexcept {
  switch (mode_of(number)) {
    case Mode::succeeds:
    case Mode::serial:
    case Mode::forward: return state == RunState::succeeded;
    case Mode::cancelled: return state == RunState::succeeded || state == RunState::cancelled;
    default: return state == RunState::failed;
  }
}

}  // namespace chaos
