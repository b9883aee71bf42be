#include "storage/combiner.hpp"

#include "support/catch.hpp"

#include <atomic>
#include <new>
#include <thread>

using onceward::storage_detail::Combiner;

namespace {

struct Request {
  int question = 0;
  int answer = 0;
};

}  // namespace

TEST_CASE("requests that come while one is carried out are carried out together") {
  Combiner<Request> combiner;
  constexpr std::size_t callers = 8;
  std::atomic<int> executions = 0;
  std::atomic<std::size_t> come = 0;
  std::atomic<bool> go = false;
  const auto execute = [&](std::span<Request* const> group) {
    // The first execution waits until the others stand before their call, so that they have to queue.
    if (executions++ == 0) {
      while (!go) std::this_thread::yield();
    }
    for (auto* request : group) request->answer = request->question + 1;
  };
  std::vector<std::thread> threads;
  std::atomic<int> wrong = 0;
  for (std::size_t i = 0; i < callers; ++i) {
    threads.emplace_back([&, i] {
      for (int turn = 0; turn < 200; ++turn) {
        Request request{static_cast<int>(i) * 1000 + turn};
        if (turn == 0) ++come;
        combiner.run(request, execute);
        if (request.answer != request.question + 1) ++wrong;
      }
    });
  }
  while (come < callers) std::this_thread::yield();
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  go = true;
  for (auto& thread : threads) thread.join();
  CHECK(wrong == 0);
  CHECK(executions < static_cast<int>(callers) * 200);
}

TEST_CASE("what an execution throws reaches each of its callers, and the next ones go on") {
  Combiner<Request> combiner;
  constexpr int callers = 8;
  std::atomic<int> come = 0;
  std::atomic<int> told = 0;
  std::atomic<std::size_t> concerned = 0;
  std::atomic<int> answered = 0;
  const auto execute = [&](std::span<Request* const> group) {
    // The first execution waits until the others stand before their call, so that they have to queue.
    if (group.front()->question == 0 && answered == 0) {
      while (come < callers) std::this_thread::yield();
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    if (answered == 0) {
      concerned += group.size();
      throw std::bad_alloc();
    }
    for (auto* request : group) request->answer = 1;
  };
  std::vector<std::jthread> threads;
  for (int i = 0; i < callers; ++i) {
    threads.emplace_back([&] {
      Request request;
      ++come;
      try {
        combiner.run(request, execute);
      } catch (const std::bad_alloc&) {
        ++told;
      }
    });
  }
  threads.clear();
  CHECK(told == callers);
  CHECK(concerned == static_cast<std::size_t>(callers));
  answered = 1;
  Request request;
  combiner.run(request, execute);
  CHECK(request.answer == 1);
}

TEST_CASE("a lone caller is carried out at once on its own thread") {
  Combiner<Request> combiner;
  Request request{41};
  std::thread::id worker;
  combiner.run(request, [&](std::span<Request* const> group) {
    worker = std::this_thread::get_id();
    CHECK(group.size() == 1);
    group.front()->answer = 42;
  });
  CHECK(request.answer == 42);
  CHECK(worker == std::this_thread::get_id());
}

TEST_CASE("no two groups are carried out at the same time") {
  Combiner<Request> combiner;
  std::atomic<int> inside = 0;
  std::atomic<bool> overlapped = false;
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      for (int turn = 0; turn < 500; ++turn) {
        Request request;
        combiner.run(request, [&](std::span<Request* const>) {
          if (++inside != 1) overlapped = true;
          --inside;
        });
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK_FALSE(overlapped);
}
