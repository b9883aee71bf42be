// Guarded first calls on the memory storage: ours beside a std::unordered_map with a mutex that does the
// same, in one run, interleaved.
//   bench_memory [ROUNDS]
#include <onceward/storage/memory.hpp>

#include "bench/cycles.hpp"

#include <mutex>
#include <unordered_map>

using namespace onceward;
using namespace bench;

namespace {

/// The same semantics by hand: claim if absent or lapsed, complete if the fence is still one's own.
class Raw {
 public:
  std::int64_t claim(const std::string& key) {
    const auto now = std::chrono::system_clock::now();
    const std::lock_guard lock(mutex_);
    const auto [place, fresh] = calls_.try_emplace(key);
    if (!fresh && (place->second.done || place->second.lease > now)) return 0;
    place->second.fence = ++fence_;
    place->second.lease = now + std::chrono::seconds(30);
    place->second.expires = now + std::chrono::hours(24);
    return fence_;
  }
  bool complete(const std::string& key, std::int64_t fence, std::string result) {
    const auto now = std::chrono::system_clock::now();
    const std::lock_guard lock(mutex_);
    const auto place = calls_.find(key);
    if (place == calls_.end() || place->second.done || place->second.fence != fence) return false;
    place->second.done = true;
    place->second.expires = now + std::chrono::hours(24);
    place->second.result = std::move(result);
    return true;
  }

 private:
  using Time = std::chrono::system_clock::time_point;
  struct Call {
    std::int64_t fence = 0;
    Time lease{};
    Time expires{};
    bool done = false;
    std::string result{};
  };
  std::mutex mutex_;
  std::unordered_map<std::string, Call> calls_;
  std::int64_t fence_ = 0;
};

}  // namespace

int main(int count, char** words) {
  const int rounds = count > 1 ? std::atoi(words[1]) : 5;
  // New stores for each round's second: else what is measured in the end is a large map's cache misses.
  std::unique_ptr<Storage> storage;
  std::unique_ptr<Raw> raw;
  const Worker ours = [&]() -> Work {
    storage = need(open_memory());
    return guarded(*storage)();
  };
  const Worker theirs = [&]() -> Work {
    raw = std::make_unique<Raw>();
    return [&] {
      const auto key = next_key();
      const auto fence = raw->claim(key);
      if (fence == 0 || !raw->complete(key, fence, std::string(result_bytes, 'r')))
        end("a call was not recorded");
    };
  };
  print("a map", {{"1 thread", 0.5, 1, 1, ours, 1, 1, theirs}}, rounds);
}
