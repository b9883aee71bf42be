#include "worker.hpp"

#include "asks.hpp"
#include "caller.hpp"

#include <onceward/storage/open.hpp>

#include <csignal>
#include <stdexcept>
#include <thread>
#include <vector>

namespace torture {
namespace {

using namespace std::chrono_literals;

constexpr unsigned threads_of_worker = 2;

volatile std::sig_atomic_t told_to_end = 0;

/// The server may be away just now.
std::unique_ptr<onceward::Storage> open_when_it_answers(const std::string& url) {
  while (told_to_end == 0) {
    auto storage = onceward::open_storage(url);
    if (storage) return *std::move(storage);
    if (storage.error().code == onceward::ErrorCode::invalid_argument) return std::move(storage).value();
    std::this_thread::sleep_for(20ms);
  }
  return nullptr;
}

}  // namespace

void block_sigterm(bool block) {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  if (::pthread_sigmask(block ? SIG_BLOCK : SIG_UNBLOCK, &signals, nullptr) != 0) {
    throw std::runtime_error("SIGTERM cannot be blocked");
  }
}

int work(const Place& place, const std::string& process, unsigned seed) {
  std::signal(SIGTERM, [](int) { told_to_end = 1; });
  block_sigterm(false);  // the herd starts its workers with it blocked
  const auto opened = open_when_it_answers(place.url);
  if (!opened) return 0;
  BrokenStorage broken(*opened, place.broken);
  auto& storage = place.broken == Broken::nothing ? *opened : broken;
  Recorder recorder(place.history_file(process));
  std::atomic<int> calls = 0;
  std::vector<std::jthread> threads;
  for (unsigned i = 0; i < threads_of_worker; ++i) {
    threads.emplace_back([&, i] {
      FencedTable table(place.fenced_file());
      const auto rows = place.rows();
      Caller caller(storage, table, *rows, recorder, process, calls);
      std::mt19937 dice(seed + i);
      while (told_to_end == 0) caller.call(random_ask(dice, monotonic_ns()));
    });
  }
  return 0;
}

}  // namespace torture
