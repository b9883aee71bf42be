#include "idempotency/waiters.hpp"

#include <onceward/core/digest.hpp>

namespace onceward::guard_detail {

std::uint64_t hash_of_key(std::string_view partition, std::string_view key) noexcept {
  // Keys that share a hash wake each other's waiters in vain; nothing else comes of it.
  return stable_hash(partition) * 31 + stable_hash(key);
}

Waiters::Waiter::Waiter(Waiters& all, std::string_view partition, std::string_view key)
    : all_(all), key_(hash_of_key(partition, key)) {
  const std::lock_guard lock(all_.mutex_);
  all_.waiting_.emplace(key_, this);
  ++all_.count_;
}

Waiters::Waiter::~Waiter() {
  const std::lock_guard lock(all_.mutex_);
  const auto [begin, end] = all_.waiting_.equal_range(key_);
  for (auto place = begin; place != end; ++place) {
    if (place->second != this) continue;
    all_.waiting_.erase(place);
    break;
  }
  --all_.count_;
}

bool Waiters::Waiter::wait(Duration length, const std::stop_token& stop) {
  std::unique_lock lock(all_.mutex_);
  ended_.wait_for(lock, stop, length, [&] { return has_ended_; });
  has_ended_ = false;
  return stop.stop_requested();
}

void Waiters::ended(std::string_view partition, std::string_view key) {
  if (!any()) return;
  const std::lock_guard lock(mutex_);
  const auto [begin, end] = waiting_.equal_range(hash_of_key(partition, key));
  for (auto place = begin; place != end; ++place) {
    place->second->has_ended_ = true;
    place->second->ended_.notify_one();
  }
}

}  // namespace onceward::guard_detail
