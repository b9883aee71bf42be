// What expressions and keys cost, beside what one would write by hand: medians of interleaved rounds.
#include <onceward/expr/bind.hpp>
#include <onceward/expr/convert.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

using namespace onceward;

namespace {

struct User {
  std::int64_t id;
};
struct Task {
  std::string id;
};
struct Reward {
  User user;
  Task task;
  int stage;
};
struct Event {
  std::int64_t amount;
  int level;
};

constexpr int rounds = 41;
constexpr int calls = 20000;
constexpr std::size_t inputs = 256;

template <class T>
T need(Result<T> result) {
  if (result) return *std::move(result);
  std::fprintf(stderr, "bench_expressions: %s\n", describe(result.error()).c_str());
  std::exit(1);
}

/// Keeps the compiler from dropping or moving what is measured.
template <class T>
void use(const T& value) {
  asm volatile("" : : "g"(&value) : "memory");
}

struct Measured {
  const char* name;
  std::vector<double> figures{};
};

template <class Call>
void measure(Measured& measured, const Call& call) {
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < calls; ++i) call(static_cast<std::size_t>(i) % inputs);
  const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - start;
  measured.figures.push_back(took.count() / calls);
}

double median(Measured& measured) {
  auto& figures = measured.figures;
  std::nth_element(figures.begin(), figures.begin() + rounds / 2, figures.end());
  return figures[rounds / 2];
}

void print(const char* name, double ours, const char* against, double other, const char* goal) {
  std::printf("%-44s %9.1f ns   %-34s %9.1f ns   %5.2f x   goal %s\n", name, ours, against, other,
              ours / other, goal);
}

Value event_of_ten(const Event& event) {
  Map map = {{"amount", event.amount}, {"level", event.level}};
  for (const char* name : {"country", "currency", "id", "kind", "merchant", "order", "shop", "user"})
    map.set(name, std::string("some text of it"));
  return map;
}

}  // namespace

int main() {
  std::vector<Reward> rewards;
  std::vector<Event> events;
  std::vector<Value> dynamic;
  for (std::size_t i = 0; i < inputs; ++i) {
    const auto number = static_cast<std::int64_t>(i);
    rewards.push_back({{1000000 + number * 7919}, {"task-" + std::to_string(i)}, static_cast<int>(i % 5)});
    events.push_back({number * 37 % 200, static_cast<int>(i % 5)});
    dynamic.push_back(event_of_ten(events.back()));
  }

  const auto key = need(BoundKey<Reward>::parse("reward:#{user.id}:#{task.id}:#{stage}"));
  const auto condition = need(BoundExpression<Event>::parse("amount >= 100 && level in {2,3}"));
  const auto loose = need(Expression::parse("amount >= 100 && level in {2,3}"));
  const std::string format = "reward:{}:{}:{}";
  Measured ours{"key"}, by_fmt{"fmt"}, bound{"bound"}, by_hand{"hand"}, on_value{"value"}, parsed{"parse"};
  KeyBuffer buffer;
  std::array<char, 512> bytes;
  for (int round = 0; round < rounds; ++round) {
    measure(ours, [&](std::size_t i) { use(*key.render(buffer, rewards[i])); });
    measure(by_fmt, [&](std::size_t i) {
      const auto& reward = rewards[i];
      use(*fmt::format_to(bytes.data(), fmt::runtime(format), reward.user.id, reward.task.id, reward.stage));
    });
    measure(bound, [&](std::size_t i) { use(*condition.test(events[i])); });
    measure(by_hand, [&](std::size_t i) {
      const auto& event = events[i];
      use(event);
      const bool holds = event.amount >= 100 && (event.level == 2 || event.level == 3);
      use(holds);
    });
    measure(on_value, [&](std::size_t i) { use(*loose.test(dynamic[i])); });
    measure(parsed,
            [&](std::size_t) { use(KeyTemplate::parse("reward:#{user.id}:#{task.id}:#{stage + 1}")); });
  }
  print("a key of three fields", median(ours), "fmt, format at run time", median(by_fmt), "0.6 x");
  print("amount >= 100 && level in {2,3}, bound", median(bound), "written by hand", median(by_hand),
        "20 ns, 15 x");
  print("the same on a JSON object of 10 members", median(on_value), "bound", median(bound), "3 x");
  print("parsing a template of 41 bytes", median(parsed), "2 microseconds", 2000, "1 x");
}
