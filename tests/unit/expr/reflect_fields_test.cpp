// Which structs are seen into, and classes that list their own fields.
#include <onceward/expr/convert.hpp>

#include "support/catch.hpp"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <unordered_map>

namespace rd = onceward::reflect_detail;
using onceward::ErrorCode;
using onceward::Value;

namespace bank {

struct Entity {
  std::string id;
  friend bool operator==(const Entity&, const Entity&) = default;
};

/// Private members, a base, a constructor: none of it is seen from outside.
class Account : public Entity {
 public:
  Account() = default;
  Account(std::string name, std::int64_t pence) : Entity{std::move(name)}, pence_(pence) {}
  friend bool operator==(const Account&, const Account&) = default;

 private:
  friend consteval auto onceward_fields(const Account*) {
    return onceward::fields(onceward::field("id", &Account::id), onceward::field("sum", &Account::pence_),
                            onceward::field("tags", &Account::tags_));
  }
  std::int64_t pence_ = 0;
  std::vector<std::string> tags_{"new"};
};

/// What is derived from it lists its own, or is not seen into.
class Hidden : public Account {};
class Savings : public Account {
  friend consteval auto onceward_fields(const Savings*) {
    return onceward::fields(onceward::field("id", &Savings::id), onceward::field("rate", &Savings::rate));
  }

 public:
  double rate = 0.5;
};

/// An aggregate may name its fields otherwise; a function beside it does as well as a friend.
struct Renamed {
  int a = 1;
  int b = 2;
};
consteval auto onceward_fields(const Renamed*) { return onceward::fields(onceward::field("B", &Renamed::b)); }

template <class T>
struct Box {
  T content;
  Box(T of) : content(std::move(of)) {}
  friend consteval auto onceward_fields(const Box*) {
    return onceward::fields(onceward::field("content", &Box::content));
  }
};

}  // namespace bank

namespace {

#define ONCEWARD_TEN(x) int x##0 = 0, x##1, x##2, x##3, x##4, x##5, x##6, x##7, x##8, x##9;
struct Hundred {
  ONCEWARD_TEN(a)
  ONCEWARD_TEN(b)
  ONCEWARD_TEN(c)
  ONCEWARD_TEN(d) ONCEWARD_TEN(e) ONCEWARD_TEN(f) ONCEWARD_TEN(g) ONCEWARD_TEN(h) ONCEWARD_TEN(i)
      ONCEWARD_TEN(j)
};

struct Small {
  int a = 0, b = 0;
};

/// No default constructor, and braces around anything are ambiguous.
class Stubborn {
 public:
  explicit Stubborn(int number) : number_(number) {}
  Stubborn(std::string text, int number) : text_(std::move(text)), number_(number) {}

 private:
  std::string text_;
  [[maybe_unused]] int number_;
};

enum class Mode : std::uint8_t { off, on };

/// Everything that could be taken for an array, a base or a reference, and is none.
struct Tricky {
  Stubborn first;
  Small small;
  std::array<int, 3> three{};
  std::array<Small, 2> two{};
  std::optional<std::array<int, 2>> maybe;
  std::vector<std::vector<Small>> grid;
  std::function<void()> call;
  std::reference_wrapper<int> refers;
  Mode mode = Mode::off;
  Stubborn last;
};

struct MoveOnly {
  std::unique_ptr<Small> owned;
  Small small;
  std::mutex mutex;
  std::string text;
};

struct Maps {
  std::unordered_map<std::string, std::vector<Small>> unordered;
  std::map<std::string, int, std::less<>> transparent;
  std::map<std::string, int, std::greater<>> backwards;
};

struct Bits {
  int low : 3;
};
struct Refers {
  const int& number;
};
struct Array {
  int numbers[3];
};

template <class T>
T again(const T& object) {
  T back;
  REQUIRE(onceward::from_value(onceward::to_value(object), back).has_value());
  return back;
}

}  // namespace

TEST_CASE("a class that lists its fields is read and filled by the list") {
  static_assert(onceward::Reflected<bank::Account>);
  static_assert(onceward::field_names<bank::Account>() ==
                std::array<std::string_view, 3>{"id", "sum", "tags"});
  const bank::Account account("a-1", 250);
  CHECK(onceward::to_value(account).to_json() == R"({"id":"a-1","sum":250,"tags":["new"]})");
  CHECK(again(account) == account);
  bank::Account out;
  const auto wrong = onceward::from_value(Value(onceward::Map{{"id", "x"}, {"sum", "much"}}), out);
  CHECK(wrong.error().code == ErrorCode::wrong_kind);
  CHECK(wrong.error().message.find("sum") == 0);
  onceward::for_each_field(out, [](std::string_view name, auto& field) {
    if constexpr (std::is_same_v<decltype(field), std::int64_t&>) {
      CHECK(name == "sum");
      field = 7;
    }
  });
  CHECK(*onceward::to_value(out).find("sum")->integer() == 7);
}

TEST_CASE("the list of a base is never taken for the list of what is derived from it") {
  static_assert(!onceward::Reflected<bank::Hidden>);
  bank::Savings savings;
  savings.id = "s";
  CHECK(onceward::to_value(savings).to_json() == R"({"id":"s","rate":0.5})");
}

TEST_CASE("a list renames the fields of an aggregate, and works in templates") {
  CHECK(onceward::to_value(bank::Renamed{}).to_json() == R"({"B":2})");
  CHECK(onceward::to_value(bank::Box<bank::Renamed>({3, 4})).to_json() == R"({"content":{"B":4}})");
  static_assert(std::is_same_v<rd::FieldType<bank::Box<int>, 0>, int>);
}

TEST_CASE("fields are counted, whatever they are made of") {
  static_assert(rd::field_count<Hundred> == 100);
  static_assert(rd::field_name<Hundred, 0>() == "a0" && rd::field_name<Hundred, 99>() == "j9");
  static_assert(rd::field_count<Tricky> == 10);
  static_assert(rd::field_name<Tricky, 0>() == "first" && rd::field_name<Tricky, 9>() == "last");
  static_assert(std::is_same_v<rd::FieldType<Tricky, 3>, std::array<Small, 2>>);
  static_assert(std::is_same_v<rd::FieldType<const Tricky, 8>, Mode>);
  static_assert(rd::field_count<MoveOnly> == 4);
  static_assert(!onceward::Reflected<Bits> && !onceward::Reflected<Refers> && !onceward::Reflected<Array>);
  static_assert(!onceward::Reflected<int> && !onceward::Reflected<std::array<int, 3>>);
  Hundred hundred{};
  rd::get_field<99>(hundred) = 5;
  CHECK(hundred.j9 == 5);
  CHECK(again(hundred).j9 == 5);
  const Hundred& constant = hundred;
  static_assert(std::is_same_v<decltype(rd::get_field<99>(constant)), const int&>);
  CHECK(&rd::get_field<99>(constant) == &hundred.j9);
}

TEST_CASE("maps by name come back, in whatever order they keep") {
  const Maps maps{{{"x", {{1, 2}, {3, 4}}}, {"a", {}}}, {{"b", 1}, {"a", 2}}, {{"b", 1}, {"a", 2}}};
  const Value value = onceward::to_value(maps);
  CHECK(value.to_json() == R"({"backwards":{"a":2,"b":1},"transparent":{"a":2,"b":1},)"
                           R"("unordered":{"a":[],"x":[{"a":1,"b":2},{"a":3,"b":4}]}})");
  const Maps back = again(maps);
  CHECK(back.backwards == maps.backwards);
  CHECK(onceward::to_value(back) == value);
}
