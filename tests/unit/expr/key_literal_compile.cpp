// Compiled by a test, never run: with ONCEWARD_WRONG set, it must not compile (the number tells which
// mistake).
#include <onceward/expr/key_literal.hpp>

#include <cstdint>
#include <mutex>
#include <optional>
#include <string>

struct User {
  std::string name;
  std::int64_t id;
};
struct Request {
  User user;
  std::string merchant;
  int points;
  double rate;
  std::optional<User> friend_of;
};

void take(onceward::KeyLiteral<Request> key);
void take_two(onceward::KeyLiteral<Request, User> key);
void take_condition(onceward::ExpressionLiteral<Request> condition);
void give();

void give() {
  take(
      "grant:#{merchant}:#{user.id}:#{user.name.toUpperCase()}:#{ # points }:#{p0.points}:#{friend_of?.id}:#{fixed(rate, 2)}");
  take_two(
      {onceward::params("request", "user"), "grant:#{request.user.id}:#{user.id}:#{p1.id}:#{a0.points}"});
  take_condition("points >= 100 && merchant in {'a', 'b'} or not (user.id between {1, 9}) && rate > 1.5");
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
#elif ONCEWARD_WRONG == 8
  take("grant:#{rate}");
#elif ONCEWARD_WRONG == 9
  take("grant:#{user}");
#elif ONCEWARD_WRONG == 10
  take("grant:#{ #friend_of }");
#elif ONCEWARD_WRONG == 11
  take_condition("points >= 100 && merchnt == 'a'");
#elif ONCEWARD_WRONG == 12
  take_condition("friend_of.nme == 'a'");
#elif ONCEWARD_WRONG == 13
  take_condition("{points}[0] > pints");
#elif ONCEWARD_WRONG == 14
  take_two({onceward::params("request", "user"), "grant:#{usr.id}"});
#elif ONCEWARD_WRONG == 15
  take_two("grant:#{p2.id}");
#elif ONCEWARD_WRONG == 16
  take_two("grant:#{id}");
#endif
}
