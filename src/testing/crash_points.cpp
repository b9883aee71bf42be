#include <onceward/testing/crash_points.hpp>

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <exception>
#include <stdexcept>

namespace onceward::testing {
namespace {

constexpr int threw = 125;

}  // namespace

void CrashPoints::arm(std::string name, std::size_t nth) {
  const std::lock_guard lock(mutex_);
  const auto reached = reached_.find(name);
  armed_[std::move(name)] = nth + (reached == reached_.end() ? 0 : reached->second);
}

void CrashPoints::arm_any(std::size_t nth) {
  const std::lock_guard lock(mutex_);
  armed_any_ = all_ + nth;
}

void CrashPoints::reach(std::string_view name) {
  const std::lock_guard lock(mutex_);
  auto found = reached_.find(name);
  if (found == reached_.end()) found = reached_.emplace(name, 0).first;
  ++found->second;
  ++all_;
  const auto armed = armed_.find(name);
  const bool here = armed != armed_.end() && armed->second == found->second;
  if (here || armed_any_ == all_) std::raise(SIGKILL);
}

std::size_t CrashPoints::reached(std::string_view name) const {
  const std::lock_guard lock(mutex_);
  const auto found = reached_.find(name);
  return found == reached_.end() ? 0 : found->second;
}

std::size_t CrashPoints::reached() const {
  const std::lock_guard lock(mutex_);
  return all_;
}

ChildEnd run_in_child(const std::function<int()>& work) {
  std::fflush(nullptr);  // what waits in buffers would be written by both
  const auto child = ::fork();
  if (child < 0) throw std::runtime_error("no process can be made for a child");
  if (child == 0) {
    int code = threw;
    try {
      code = work();
    } catch (const std::exception& thrown) {
      std::fprintf(stderr, "the child threw: %s\n", thrown.what());
    }
    std::fflush(nullptr);
    ::_exit(code);
  }
  int status = 0;
  if (::waitpid(child, &status, 0) != child) throw std::runtime_error("the child cannot be waited for");
  if (WIFEXITED(status)) return {false, WEXITSTATUS(status)};
  if (WTERMSIG(status) == SIGKILL) return {true, 0};
  throw std::runtime_error("signal " + std::to_string(WTERMSIG(status)) + " ended the child");
}

std::size_t crash_everywhere(const std::function<int(CrashPoints&)>& work,
                             const std::function<void(std::size_t reached)>& after) {
  for (std::size_t nth = 1;; ++nth) {
    const auto end = run_in_child([&] {
      CrashPoints points;
      points.arm_any(nth);
      return work(points);
    });
    if (!end.crashed) {
      if (end.exit_code != 0)
        throw std::runtime_error("a child that was not killed ended with " + std::to_string(end.exit_code));
      return nth - 1;
    }
    after(nth);
  }
}

}  // namespace onceward::testing
