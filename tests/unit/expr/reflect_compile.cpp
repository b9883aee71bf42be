// Compiled by a test, never run: with ONCEWARD_WRONG set, it must not compile (the number tells which
// mistake).
#include <onceward/expr/convert.hpp>

#include <cstdint>
#include <map>
#include <memory>
#include <unordered_map>

namespace {

struct Inner {
  std::string text;
  int number = 0;
};

struct Right {
  bool flag = false;
  std::uint8_t small = 0;
  std::vector<Inner> inner;
  std::array<int, 8> eight{};
  std::unordered_map<std::string, std::optional<Inner>> by_name;
};

class Listed {
  int id_ = 0;
  friend consteval auto onceward_fields(const Listed*) {
    return onceward::fields(onceward::field("id", &Listed::id_));
  }
};

#if ONCEWARD_WRONG == 1
struct Wrong {
  Inner inner;
  char name[16] = {};
};
#elif ONCEWARD_WRONG == 2
struct Wrong {
  int one[1] = {};
};
#elif ONCEWARD_WRONG == 3
struct Wrong {
  std::string before;
  Inner inner[2][3];
  std::string after;
};
#elif ONCEWARD_WRONG == 4
struct Wrong {
  char text[1000] = {};
  int n = 0;
};
#elif ONCEWARD_WRONG == 5
struct Wrong {
  unsigned low : 3;
  unsigned high : 5;
};
#elif ONCEWARD_WRONG == 6
struct Wrong {
  std::string text;
  std::uint32_t whole : 32;
};
#elif ONCEWARD_WRONG == 7
struct Wrong {
  int& number;
};
#elif ONCEWARD_WRONG == 8
struct Wrong {
  int number;
  const std::string& text;
};
#elif ONCEWARD_WRONG == 9
struct Wrong {
  std::string&& text;
};
#elif ONCEWARD_WRONG == 10
struct Wrong : Inner {
  int more = 0;
};
#elif ONCEWARD_WRONG == 11
struct Wrong : Inner {};
#elif ONCEWARD_WRONG == 12
struct Nothing {};
struct Wrong : Nothing {
  int more = 0;
};
#elif ONCEWARD_WRONG == 13
class Wrong {
  [[maybe_unused]] int number_ = 0;
};
#elif ONCEWARD_WRONG == 14
struct Wrong {
  Wrong() {}
  int number = 0;
};
#elif ONCEWARD_WRONG == 15
struct Wrong {
#define ONCEWARD_TEN(x) int x##0, x##1, x##2, x##3, x##4, x##5, x##6, x##7, x##8, x##9;
  ONCEWARD_TEN(a)
  ONCEWARD_TEN(b)
  ONCEWARD_TEN(c) ONCEWARD_TEN(d) ONCEWARD_TEN(e) ONCEWARD_TEN(f) ONCEWARD_TEN(g) ONCEWARD_TEN(h)
      ONCEWARD_TEN(i) ONCEWARD_TEN(j) int last;
};
#elif ONCEWARD_WRONG == 16
struct Wrong {
  int* number = nullptr;
};
#elif ONCEWARD_WRONG == 17
struct Wrong {
  std::unique_ptr<Inner> inner;
};
#elif ONCEWARD_WRONG == 18
// The list of the base is not the list of what is derived from it.
struct Wrong : Listed {
  int more = 0;
};
#elif ONCEWARD_WRONG == 19
struct Wrong {
  std::string_view text;
};
#elif ONCEWARD_WRONG == 20
struct Wrong {
  const int number = 0;
};
#elif ONCEWARD_WRONG == 21
struct Wrong {
  int a = 0, b = 0;
  friend consteval auto onceward_fields(const Wrong*) {
    return onceward::fields(onceward::field("a", &Wrong::a), onceward::field("a", &Wrong::b));
  }
};
#elif ONCEWARD_WRONG == 22
struct Wrong {
  int a = 0;
  friend consteval auto onceward_fields(const Wrong*) {
    return onceward::fields(onceward::field("", &Wrong::a));
  }
};
#elif ONCEWARD_WRONG == 23
struct Wrong {
  int a() const { return 0; }
  friend consteval auto onceward_fields(const Wrong*) {
    return onceward::fields(onceward::field("a", &Wrong::a));
  }
};
#elif ONCEWARD_WRONG == 24
// A mistake deep inside is found where it is.
struct Bits {
  bool flag : 1;
};
struct Wrong {
  std::map<std::string, std::vector<Bits>> all;
};
#else
using Wrong = Right;
#endif

template <class T>
void there_and_back(T& object) {
  const auto value = onceward::to_value(object);
  static_cast<void>(onceward::from_value(value, object));
}

}  // namespace

void use(void* anything);
void use(void* anything) {
#if ONCEWARD_WRONG != 25
  there_and_back(*static_cast<Wrong*>(anything));
#else
  static_assert(onceward::field_names<Listed>().size() == onceward::field_names<std::string>().size());
#endif
  there_and_back(*static_cast<Listed*>(anything));
}
