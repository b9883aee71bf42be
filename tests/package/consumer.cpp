// What a user's first program looks like, against the installed package.
#include <onceward/idempotency/idempotent.hpp>
#if defined(WITH_SQLITE)
#include <onceward/storage/open.hpp>
#else
#include <onceward/storage/memory.hpp>
#endif

#include <cstdio>

struct Request {
  std::string merchant;
  int user;
};

int main() {
#if defined(WITH_SQLITE)
  auto storage = onceward::open_storage("sqlite:consumer.db?shards=8").value();
#else
  auto storage = onceward::open_memory().value();
#endif
  int runs = 0;
  auto grant = onceward::idempotent<Request>(*storage, "grant:#{merchant}:#{user}", {.operation = "grant"},
                                             [&](const Request&) { return ++runs; });
  grant({"m", 1});
  const auto outcome = grant({"m", 1});
  std::printf("%s, %d run(s)\n", std::string(to_string(outcome.verdict())).c_str(), runs);
  return outcome.verdict() == onceward::Verdict::replayed && runs <= 1 ? 0 : 1;
}
