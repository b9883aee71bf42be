// A user of onceward::core alone: a guarded call on the memory storage, and an expression.
#include <onceward/expr/expression.hpp>
#include <onceward/idempotency/idempotent.hpp>
#include <onceward/storage/memory.hpp>

#include <cstdint>
#include <cstdio>

struct Request {
  std::int64_t user;
};
struct Answer {
  int runs;
};

int main() {
  const auto storage = onceward::open_memory();
  if (!storage) return 1;
  int runs = 0;
  auto call = onceward::idempotent<Request>(**storage, "user:#{user}", {.operation = "count"},
                                            [&runs](const Request&) { return Answer{++runs}; });
  const auto first = call(Request{1});
  const auto again = call(Request{1});
  if (runs != 1 || first.value().runs != 1 || again.value().runs != 1) return 2;

  const auto sum = onceward::Expression::parse("20 + 22 == 42");
  if (!sum) return 3;
  const auto value = sum->test(onceward::Value(onceward::Map{}));
  if (!value || !*value) return 4;
  std::puts("core: ok");
  return 0;
}
