// Compiled by a test, never run: with ONCEWARD_WRONG set, it must not compile (the number tells which
// mistake).
#include <onceward/expr/key_literal.hpp>

#include <cstdint>
#include <mutex>

struct User {
  std::string name;
  std::int64_t id;
};
struct Request {
  User user;
  std::string merchant;
  int points;
};

void take(onceward::KeyLiteral<Request> key);
void give();

void give() {
  take("grant:#{merchant}:#{user.id}:#{user.name.toUpperCase()}");
#if ONCEWARD_WRONG == 1
  take("grant:#{merchnt}");
#elif ONCEWARD_WRONG == 2
  take("grant:#{user.nme}");
#elif ONCEWARD_WRONG == 3
  take("grant:#{upper(merchnt)}");
#elif ONCEWARD_WRONG == 4
  take("grant:#{merchant}:#{points > 1 ? 'a' : pints}");
#elif ONCEWARD_WRONG == 5
  take("grant:#{merchant.size}");
#elif ONCEWARD_WRONG == 6
  take("grant:#{User.id}");
#elif ONCEWARD_WRONG == 7
  (void)onceward::to_value(std::mutex());
#endif
}
