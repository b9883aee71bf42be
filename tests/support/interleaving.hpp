#pragma once
#include <algorithm>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

/// Threads of which one runs at a time: at each of its steps a die says who goes on. The same seed gives the
/// same order, so that a failure can be seen again.
class Interleaving {
 public:
  Interleaving(std::size_t count, unsigned seed) : dice_(seed), alive_(count, true) {}

  void start(std::size_t index, std::function<void()> work) {
    threads_.emplace_back([this, index, work = std::move(work)] {
      own_ = index;
      wait_for(index);
      work();
      const std::lock_guard lock(mutex_);
      alive_[index] = false;
      choose();
    });
  }
  /// Called by one of the threads where another one may come between. It must hold no lock.
  void step() {
    {
      const std::lock_guard lock(mutex_);
      choose();
    }
    wait_for(own_);
  }
  /// Lets them run, to their end.
  void join() {
    {
      const std::lock_guard lock(mutex_);
      choose();
    }
    for (auto& thread : threads_) thread.join();
  }

 private:
  static constexpr std::size_t nobody = static_cast<std::size_t>(-1);

  void wait_for(std::size_t index) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return turn_ == index; });
  }
  void choose() {
    std::vector<std::size_t> left;
    for (std::size_t i = 0; i < alive_.size(); ++i) {
      if (alive_[i]) left.push_back(i);
    }
    turn_ = left.empty() ? nobody : left[dice_() % left.size()];
    changed_.notify_all();
  }

  inline static thread_local std::size_t own_ = nobody;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::mt19937 dice_;
  std::vector<bool> alive_;
  std::size_t turn_ = nobody;
  std::vector<std::thread> threads_;
};
