#include <onceward/core/ids.hpp>

#include "support/catch.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <set>
#include <string>
#include <thread>
#include <vector>

using namespace onceward;

namespace {

/// What a forked child makes, sent through a pipe. Empty where anything went wrong.
std::string made_by_child() {
  std::array<int, 2> ends{};
  if (pipe(ends.data()) != 0) return {};
  const auto child = fork();
  if (child == 0) {
    const auto id = new_owner_id();
    _exit(write(ends[1], id.data(), id.size()) == static_cast<ssize_t>(id.size()) ? 0 : 1);
  }
  close(ends[1]);
  std::string text(64, '\0');
  const auto got = child < 0 ? -1 : read(ends[0], text.data(), text.size());
  close(ends[0]);
  int status = 1;
  if (child < 0 || waitpid(child, &status, 0) != child || status != 0 || got < 0) return {};
  text.resize(static_cast<std::size_t>(got));
  return text;
}

bool has_shape(const std::string& id) {
  return id.size() == 32 && id.find_first_not_of("0123456789abcdef") == std::string::npos;
}

}  // namespace

TEST_CASE("an owner's name is 32 hexadecimal digits, each of them drawn") {
  std::array<std::set<char>, 32> seen;
  for (int i = 0; i < 1000; ++i) {
    const auto id = new_owner_id();
    REQUIRE(has_shape(id));
    for (std::size_t place = 0; place < seen.size(); ++place) seen[place].insert(id[place]);
  }
  // Of 1,000 draws one of 16 digits is missing with a probability below 10^-26.
  for (const auto& digits : seen) CHECK(digits.size() == 16);
}

TEST_CASE("100,000 names from four threads are all different") {
  constexpr std::size_t each = 25'000;
  std::vector<std::string> ids(4 * each);
  std::vector<std::thread> threads;
  for (std::size_t thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&, thread] {
      for (std::size_t i = 0; i < each; ++i) ids[thread * each + i] = new_owner_id();
    });
  }
  for (auto& thread : threads) thread.join();
  std::sort(ids.begin(), ids.end());
  CHECK(std::adjacent_find(ids.begin(), ids.end()) == ids.end());
}

TEST_CASE("a forked child draws other names than its parent and its siblings") {
  (void)new_owner_id();  // whatever state there is, the children inherit it
  const auto first = made_by_child();
  const auto second = made_by_child();
  const auto own = new_owner_id();
  REQUIRE(has_shape(first));
  REQUIRE(has_shape(second));
  CHECK(first != second);
  CHECK(first != own);
  CHECK(second != own);
}
