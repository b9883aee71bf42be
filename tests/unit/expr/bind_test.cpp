// Expressions and keys bound to C++ types: the same answers as on dynamic values, and what is refused before
// there is any value.
#include <onceward/expr/bind.hpp>

#include "heap_requests.hpp"
#include "support/catch.hpp"

#include <chrono>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

using namespace onceward;

namespace {

enum class Level : std::uint8_t { bronze, silver, gold };
struct User {
  std::int64_t id;
  std::string name;
  std::optional<std::string> email;
};
struct Address {
  std::string city;
  std::string_view country;
};
struct Event {
  User user;
  std::optional<Address> address;
  std::optional<Address> nowhere;
  std::int64_t amount;
  std::int32_t small;
  std::int16_t tiny;
  std::uint8_t byte;
  std::uint32_t half;
  std::uint64_t big;
  std::uint64_t fits;
  bool paid;
  Level level;
  double rate;
  float part;
  std::optional<int> count;
  std::optional<int> missing;
  std::chrono::milliseconds took;
  Timestamp at;
  std::vector<int> list;
  std::array<std::string_view, 2> words;
  std::map<std::string, std::int64_t> scores;
  std::vector<Address> addresses;
  Value anything;
};

User ann() { return {42, "Ann:%1", {}}; }
Address bergen() { return {"Bergen", "NO"}; }

Event filled() {
  Event event{};
  event.user = ann();
  event.address = bergen();
  event.amount = 150;
  event.small = -7;
  event.tiny = 3;
  event.byte = 200;
  event.half = 4000000000U;
  event.big = 18446744073709551615ULL;
  event.fits = 9;
  event.paid = true;
  event.level = Level::gold;
  event.rate = 1.5;
  event.part = 0.25F;
  event.count = 5;
  event.took = std::chrono::milliseconds(1500);
  event.at = Timestamp(Duration(1291191960000000));
  event.list = {1, 2, 3};
  event.words = {"a", "b"};
  event.scores = {{"x", 7}};
  event.addresses = {bergen()};
  event.anything = Map{{"k", 3}};
  return event;
}

Expression parse(std::string_view text) {
  auto parsed = Expression::parse(text);
  INFO(text);
  REQUIRE(parsed);
  return *parsed;
}

Result<BoundExpression<Event>> bind(std::string_view text) {
  return BoundExpression<Event>::bind(parse(text));
}

std::string shown(const Result<Value>& result) {
  return result ? result->to_json() : describe({result.error().code, {}, 0, result.error().offset});
}

}  // namespace

TEST_CASE("a bound expression gives what the expression gives on the struct as a value") {
  const Event event = filled();
  const Value value = to_value(event);
  for (const std::string_view text : {"amount",
                                      "small",
                                      "tiny",
                                      "byte",
                                      "half",
                                      "fits",
                                      "paid",
                                      "level",
                                      "rate",
                                      "part",
                                      "count",
                                      "missing",
                                      "took",
                                      "at",
                                      "list",
                                      "words",
                                      "scores",
                                      "addresses",
                                      "anything",
                                      "user",
                                      "address",
                                      "nowhere",
                                      "user.id",
                                      "user.name",
                                      "user.email",
                                      "#user.id + 1",
                                      "address.city",
                                      "address?.city",
                                      "nowhere?.city",
                                      "nowhere?.city ?: 'none'",
                                      "nowhere.city",
                                      "user.email ?: 'none'",
                                      "user.email?.length()",
                                      "missing == null",
                                      "missing ?: 3",
                                      "count + 1",
                                      "count > 4",
                                      "missing > 4",
                                      "amount >= 100 && level in {1,2}",
                                      "amount / 0",
                                      "amount * 100000000000000000",
                                      "-small",
                                      "!paid",
                                      "not paid or amount between {100, 200}",
                                      "small not in {1, -7}",
                                      "rate * 2",
                                      "part + amount",
                                      "rate > 1",
                                      "list[1]",
                                      "list[3]",
                                      "list.size() + words.size()",
                                      "words.contains('b')",
                                      "1 in list",
                                      "scores['x']",
                                      "scores['y']",
                                      "scores.get('x') + 1",
                                      "addresses[0].city",
                                      "addresses[0].country.toLowerCase()",
                                      "anything.k",
                                      "anything['k'] + amount",
                                      "anything.z",
                                      "user.name + ':' + user.id",
                                      "user.name.length() > 3 ? user.name : 'short'",
                                      "date(at)",
                                      "date(at, 'Asia/Tokyo')",
                                      "join(words, '-')",
                                      "{amount, small}[0]",
                                      "paid && (missing ?: 1) == 1",
                                      "min(amount, rate, small)",
                                      "(user.email ?: user.name).length()",
                                      "p0.amount",
                                      "a0.user.id",
                                      "paid == (amount == 150)",
                                      "paid and not (count == 5)",
                                      "fixed(rate, 2)",
                                      "string(level)",
                                      "user.name == 'Ann:%1'",
                                      "user.name in {'x', 'Ann:%1'}",
                                      "amount == 150.0",
                                      "byte * byte",
                                      "scores.containsKey('x') || list.isEmpty()",
                                      "address.country == 'NO' ? amount : -amount"}) {
    INFO(text);
    const auto bound = bind(text);
    if (!bound) {
      FAIL(describe(bound.error()));
    }
    const bool by_position = text.substr(0, 3) == "p0." || text.substr(0, 3) == "a0.";
    const auto expected = by_position ? parse(text.substr(3)).evaluate(value) : parse(text).evaluate(value);
    if (by_position) {
      CHECK(bound->evaluate(event).value() == expected.value());
    } else {
      CHECK(shown(bound->evaluate(event)) == shown(expected));
      const auto test = parse(text).test(value);
      CHECK(bound->test(event).has_value() == test.has_value());
      if (test) CHECK(*bound->test(event) == *test);
    }
  }
}

TEST_CASE("what can never work is refused when an expression is bound, at its byte") {
  const auto refused = [](std::string_view text, ErrorCode code, std::size_t offset) {
    INFO(text);
    const auto bound = bind(text);
    REQUIRE_FALSE(bound);
    INFO(describe(bound.error()));
    CHECK(bound.error().code == code);
    CHECK(bound.error().offset == offset);
  };
  refused("user.name > 3", ErrorCode::wrong_kind, 10);
  refused("3 < user.name", ErrorCode::wrong_kind, 2);
  refused("amount == 'x'", ErrorCode::wrong_kind, 7);
  refused("paid + 1", ErrorCode::wrong_kind, 5);
  refused("rate + 'x'", ErrorCode::wrong_kind, 5);
  refused("amount && paid", ErrorCode::wrong_kind, 7);
  refused("paid && amount", ErrorCode::wrong_kind, 5);
  refused("!amount", ErrorCode::wrong_kind, 0);
  refused("-user.name", ErrorCode::wrong_kind, 0);
  refused("amount ? 1 : 2", ErrorCode::wrong_kind, 7);
  refused("amount in {'a'}", ErrorCode::wrong_kind, 7);
  refused("amount between {'a', 'b'}", ErrorCode::wrong_kind, 7);
  refused("amount in user.name", ErrorCode::wrong_kind, 7);
  refused("amount.length()", ErrorCode::wrong_kind, 7);
  refused("user.name.startsWith(amount)", ErrorCode::wrong_kind, 10);
  refused("sha256(amount)", ErrorCode::wrong_kind, 0);
  refused("list['a']", ErrorCode::wrong_kind, 4);
  refused("scores[1]", ErrorCode::wrong_kind, 6);
  refused("addresses[0].city + rate", ErrorCode::wrong_kind, 18);
  refused("(paid ? user.name : 'x') > 3", ErrorCode::wrong_kind, 25);
  refused("amont", ErrorCode::unknown_name, 0);
  refused("amount > 1 && user.nme == 'x'", ErrorCode::unknown_name, 19);
  refused("address?.town", ErrorCode::unknown_name, 9);
  refused("addresses[0].town", ErrorCode::unknown_name, 13);
  refused("amount.x", ErrorCode::unknown_name, 7);
  refused("p1.amount", ErrorCode::unknown_name, 0);
  CHECK(bind("amont").error().message.find("amount") != std::string::npos);
  CHECK(bind("user.nme").error().message.find("id, name, email") != std::string::npos);
  // May work: only a value can tell.
  for (const std::string_view text : {"missing > 4", "anything > 'x'", "(paid ? amount : user.name) > 3",
                                      "anything.x.y", "user.email.length()", "amount == null"}) {
    INFO(text);
    CHECK(bind(text));
  }
}

TEST_CASE("an unsigned integer beyond 63 bits is its digits in a key, and an error in an expression") {
  const Event event = filled();
  CHECK(BoundKey<Event>::parse("k:#{big}:#{fits}")->render(event).value() == "k:18446744073709551615:9");
  const auto test = bind("big > 1");
  REQUIRE(test);
  CHECK(test->test(event).error().code == ErrorCode::out_of_range);
  CHECK(test->test(event).error().offset == 0);
  CHECK(bind("fits > 1")->test(event).value());
  CHECK(bind("1 + big")->evaluate(event).error().code == ErrorCode::out_of_range);
}

TEST_CASE("several arguments are named, or told by their position") {
  const User user = ann();
  const Address address = bergen();
  const auto named =
      BoundKey<User, Address>::parse({params("user", "address"), "#{user.id}:#{address.city}"});
  CHECK(named.value().render(user, address).value() == "42:Bergen");
  const auto placed = BoundKey<User, Address, int, std::string>::parse("#{p0.id}:#{a1.city}:#{p2}:#{#p3}");
  CHECK(placed.value().render(user, address, 7, std::string("x y")).value() == "42:Bergen:7:x%20y");
  const auto both =
      BoundExpression<User, int>::parse({params("user", "times"), "user.id > times && p1 == 3"});
  CHECK(both.value().test(user, 3).value());
  CHECK_FALSE(both.value().test(user, 4).value());
  const std::array<std::string_view, 1> few = {"user"};
  CHECK(BoundExpression<User, int>::bind(parse("user.id > 1"), few).error().code ==
        ErrorCode::invalid_argument);
  const auto lost = BoundExpression<User, int>::bind(parse("id > 1"));
  CHECK(lost.error().code == ErrorCode::unknown_name);
  CHECK(lost.error().message.find("p0, p1") != std::string::npos);
}

TEST_CASE("a dynamic value can be bound too: its names are known when it is there") {
  const Value names = Map{{"amount", 5}, {"user", Map{{"id", 7}}}};
  const auto bound = BoundExpression<Value>::bind(parse("amount + user.id"));
  CHECK(bound.value().evaluate(names).value() == Value(12));
  CHECK(bound.value().evaluate(Value(Map())).error().code == ErrorCode::unknown_name);
  const auto key =
      BoundKey<std::map<std::string, std::string>>::bind(KeyTemplate::parse("#{a}:#{b}").value());
  CHECK(key.value().render({{"a", "1"}, {"b", ":"}}).value() == "1:%3A");
}

TEST_CASE("bound keys are the keys of the template, byte for byte") {
  struct Parts {
    std::string a;
    std::string_view b;
    std::int64_t c;
    std::optional<std::string> d;
  };
  const std::string_view text = "k:#{a}:#{b}#{c}:#{d ?: ''}/#{a.length() + c}";
  const auto loose = KeyTemplate::parse(text).value();
  const auto bound = BoundKey<Parts>::parse("k:#{a}:#{b}#{c}:#{d ?: ''}/#{a.length() + c}").value();
  const std::string bytes("ab:%3A2501 \n\x01\x7f\x00\xc3\xa9!\"#$&09", 24);
  std::mt19937_64 random(20261124);
  const auto part = [&] {
    std::string made;
    for (std::size_t i = random() % 24; i > 0; --i) {
      made += random() % 4 == 0 ? bytes[random() % bytes.size()] : static_cast<char>('a' + random() % 26);
    }
    return made;
  };
  KeyBuffer buffer;
  for (int i = 0; i < 20000; ++i) {
    const std::string b = part();
    Parts parts{part(), b, static_cast<std::int64_t>(random()) >> (random() % 64), {}};
    if (parts.c > INT64_MAX - 1000) continue;
    if (random() % 2 == 0) parts.d = part();
    const auto key = bound.render(buffer, parts);
    REQUIRE(key);
    REQUIRE(*key == loose.render(to_value(parts)).value());
    REQUIRE(buffer.view() == *key);
  }
}

TEST_CASE("a bound key writes every length of integer and text, wherever an escaped byte stands") {
  struct Numbers {
    std::int64_t with_sign;
    std::uint64_t without;
    std::int8_t tiny;
  };
  const auto numbers = BoundKey<Numbers>::parse("#{with_sign}/#{without}/#{tiny}").value();
  std::mt19937_64 random(4);
  std::vector<std::uint64_t> values = {0, INT64_MAX, static_cast<std::uint64_t>(INT64_MIN), UINT64_MAX};
  for (std::uint64_t ten = 1; ten <= 1'000'000'000'000'000'000; ten *= 10) {
    for (const auto value : {ten - 1, ten, ten + 1, 9 * ten, random() % ten}) values.push_back(value);
  }
  for (int i = 0; i < 100000; ++i) values.push_back(random() >> (random() % 64));
  for (const auto value : values) {
    for (const auto with_sign : {static_cast<std::int64_t>(value), static_cast<std::int64_t>(0 - value)}) {
      const Numbers on{with_sign, value, static_cast<std::int8_t>(value)};
      REQUIRE(numbers.render(on).value() ==
              std::to_string(with_sign) + "/" + std::to_string(value) + "/" + std::to_string(on.tiny));
    }
  }

  struct One {
    std::string_view text;
  };
  const auto key = BoundKey<One>::parse("k:#{text}:").value();
  for (std::size_t size = 0; size <= 40; ++size) {
    // On the heap, so that a byte read behind it is seen.
    std::vector<char> text(size);
    for (auto& c : text) c = static_cast<char>('!' + random() % 4);
    const auto check = [&] {
      std::string wanted = "k:";
      onceward::append_key_part(wanted, {text.data(), size});
      REQUIRE(key.render(One{{text.data(), size}}).value() == wanted + ":");
    };
    check();
    for (auto& c : text) {
      for (const char byte : "\x1f !%:\x7f\x80\xa5\xba\xff") {
        const char before = std::exchange(c, byte);
        check();
        c = before;
      }
    }
  }
}

TEST_CASE("integers at the end of the room of a key fit or are refused whole") {
  struct Both {
    std::string text;
    std::int64_t number;
  };
  const auto key = BoundKey<Both>::parse("#{text}#{number}").value();
  for (const std::int64_t number : {std::int64_t{7}, std::int64_t{-42}, std::int64_t{123456789}, INT64_MIN}) {
    const auto digits = std::to_string(number);
    for (std::size_t size = 512 - 24; size <= 512; ++size) {
      const auto made = key.render(Both{std::string(size, 'x'), number});
      CHECK(made.has_value() == (size + digits.size() <= 512));
      if (made) CHECK(*made == std::string(size, 'x') + digits);
    }
  }
}

TEST_CASE("a bound key that is empty or too long is refused as the template refuses it") {
  struct One {
    std::string text;
  };
  const auto bare = BoundKey<One>::parse("#{text}").value();
  CHECK(bare.render({""}).error() == KeyTemplate::parse("#{text}")->render(to_value(One{""})).error());
  for (const auto size :
       std::initializer_list<std::size_t>{1, 7, 8, 9, 15, 16, 17, 495, 496, 497, 511, 512}) {
    CHECK(bare.render({std::string(size, 'x')}).value() == std::string(size, 'x'));
    const std::string colons(size / 3, ':');
    if (size >= 3) CHECK(bare.render({colons}).value().size() == 3 * (size / 3));
  }
  for (const auto size : std::initializer_list<std::size_t>{513, 514, 5000}) {
    CHECK(bare.render({std::string(size, 'x')}).error() ==
          KeyTemplate::parse("#{text}")->render(to_value(One{std::string(size, 'x')})).error());
  }
  CHECK(bare.render({std::string(171, ':')}).error().code == ErrorCode::invalid_argument);
  const auto tail = BoundKey<One>::parse("#{text}:end").value();
  CHECK(tail.render({std::string(508, 'x')}).value().size() == 512);
  CHECK(tail.render({std::string(509, 'x')}).error().code == ErrorCode::invalid_argument);
}

TEST_CASE("a bound key and a bound condition need no heap") {
  Event event = filled();
  event.user.name = "a name long enough to live on the heap itself";
  const auto key =
      BoundKey<Event>::parse("reward:#{user.id}:#{user.name}:#{tiny}:#{paid}:#{count}:#{big}").value();
  const auto condition = BoundExpression<Event>::parse("amount >= 100 && tiny in {2,3} || !paid").value();
  const auto mixed = BoundExpression<Event>::parse("user.name == 'x' || rate > 1 && count > 2").value();
  KeyBuffer buffer;
  const auto before = heap_requests();
  const bool rendered = key.render(buffer, event).has_value();
  const bool held = *condition.test(event) && *mixed.test(event);
  const auto after = heap_requests();
  CHECK(rendered);
  CHECK(held);
  CHECK(after == before);
}

namespace {

/// A random condition over a, b and c, as text and as what it must give.
struct Condition {
  std::string text;
  bool holds;
};
Condition random_condition(std::mt19937_64& random, const std::array<std::int64_t, 3>& values, int depth) {
  const auto number = [&] {
    static constexpr std::array<std::int64_t, 4> edges = {INT64_MAX, INT64_MIN + 1, 0, -1};
    return random() % 8 == 0 ? edges[random() % 4] : static_cast<std::int64_t>(random() % 7) - 3;
  };
  if (depth == 0 || random() % 4 == 0) {
    const std::size_t which = random() % 3;
    const auto value = values[which];
    const std::string name(1, static_cast<char>('a' + which));
    const auto x = number(), y = number();
    const std::string xs = std::to_string(x), ys = std::to_string(y);
    switch (random() % 10) {
      case 0: return {name + " == " + xs, value == x};
      case 1: return {name + " != " + xs, value != x};
      case 2: return {name + " < " + xs, value < x};
      case 3: return {name + " <= " + xs, value <= x};
      case 4: return {name + " > " + xs, value > x};
      case 5: return {name + " >= " + xs, value >= x};
      case 6: return {name + " in {" + xs + ", " + ys + "}", value == x || value == y};
      case 7: return {name + " not in {" + xs + ", " + ys + "}", value != x && value != y};
      case 8: return {name + " between {" + xs + ", " + ys + "}", x <= value && value <= y};
      default: return {name + " in {" + xs + "}", value == x};
    }
  }
  const auto left = random_condition(random, values, depth - 1);
  if (random() % 4 == 0) return {"!(" + left.text + ")", !left.holds};
  const auto right = random_condition(random, values, depth - 1);
  if (random() % 2 == 0) return {"(" + left.text + ") && (" + right.text + ")", left.holds && right.holds};
  return {"(" + left.text + ") or (" + right.text + ")", left.holds || right.holds};
}

}  // namespace

TEST_CASE("conditions of integers hold exactly when they should, bound and on values") {
  struct Three {
    std::int64_t a;
    std::int32_t b;
    std::int8_t c;
  };
  std::mt19937_64 random(42);
  for (int i = 0; i < 20000; ++i) {
    const Three three{random() % 16 == 0 ? INT64_MIN : static_cast<std::int64_t>(random() % 7) - 3,
                      static_cast<std::int32_t>(random() % 7) - 3, static_cast<std::int8_t>(random() % 7)};
    const auto condition = random_condition(random, {three.a, three.b, three.c}, 4);
    INFO(condition.text << " of " << to_value(three).to_json());
    const auto parsed = parse(condition.text);
    REQUIRE(BoundExpression<Three>::bind(parsed)->test(three).value() == condition.holds);
    REQUIRE(parsed.test(to_value(three)).value() == condition.holds);
    // A shape of map seen before must not decide over this one.
    const Value other = Map{{"0", 0}, {"a", three.a}, {"aa", 1}, {"b", three.b}, {"c", three.c}};
    REQUIRE(parsed.test(other).value() == condition.holds);
  }
}

TEST_CASE("an argument that is no struct is named by its position; a dynamic map's names are its own") {
  const std::array<std::string_view, 1> id = {"id"};
  CHECK(BoundKey<std::string>::parse("k:#{p0}").value().render("a b").value() == "k:a%20b");
  CHECK(BoundKey<std::int64_t>::parse({params("id"), "k:#{id}:#{a0}"}).value().render(7).value() == "k:7:7");
  CHECK(BoundKey<int>::bind(KeyTemplate::parse("#{id}").value(), id).value().render(3).value() == "3");
  CHECK(BoundExpression<std::vector<int>>::parse("p0[1] > 1").value().test({1, 2}).value());
  CHECK(BoundExpression<int>::bind(parse("q")).error().code == ErrorCode::unknown_name);
  CHECK(BoundExpression<Value>::bind(parse("p0 + 1")).value().evaluate(Map{{"p0", 2}}).value() == Value(3));
}
