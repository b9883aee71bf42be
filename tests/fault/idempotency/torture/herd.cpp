#include "herd.hpp"

#include "asks.hpp"

#include <thread>

namespace torture {
namespace {

using namespace std::chrono_literals;

/// Who has just been stopped is left alone for a while, so that nobody sleeps longer than a retention.
constexpr auto rest_ns = std::int64_t{5'000'000'000};
constexpr auto end_limit = 60s;

}  // namespace

const char* to_string(Broken broken) {
  constexpr std::array<const char*, 4> names = {"nothing", "claims", "completions", "leases"};
  return names[static_cast<std::size_t>(broken)];
}

Herd::Herd(const Place& place, unsigned seed) : place_(place), seed_(seed) {
  block_sigterm(true);
  for (std::size_t i = 0; i < workers_.size(); ++i) start(i);
}

void Herd::start(std::size_t number) {
  auto& worker = workers_[number];
  worker.name = std::to_string(number) + "." + std::to_string(worker.life);
  worker.stopped_at = 0;
  names_.push_back(worker.name);
  const auto seed =
      (seed_ * 7919U + static_cast<unsigned>(number) * 101U + static_cast<unsigned>(worker.life) * 2U) %
      1'000'000'000U;
  worker.process.emplace(std::vector<std::string>{"/proc/self/exe", "--worker", worker.name, "--folder",
                                                  place_.folder, "--url", place_.url, "--mariadb-port",
                                                  std::to_string(place_.mariadb_port), "--break",
                                                  to_string(place_.broken), "--seed", std::to_string(seed)});
  ++worker.life;
}

void Herd::resume(Worker& worker) {
  if (worker.stopped_at == 0) return;
  worker.process->signal(SIGCONT);
  worker.last_resumed = monotonic_ns();
  stops_[worker.name].push_back({worker.stopped_at, worker.last_resumed});
  worker.stopped_at = 0;
}

void Herd::strike(const Fault& fault) {
  auto& worker = workers_[static_cast<std::size_t>(fault.worker)];
  if (fault.kind == FaultKind::kill) {
    killed_.insert(worker.name);
    worker.process->end(SIGKILL);
    start(static_cast<std::size_t>(fault.worker));
  }
  const auto now = monotonic_ns();
  if (fault.kind == FaultKind::stop && worker.stopped_at == 0 && now > worker.last_resumed + rest_ns) {
    worker.process->signal(SIGSTOP);
    worker.stopped_at = now;
    worker.resume_at = now + std::chrono::nanoseconds(fault.lasts).count();
    ++stops_made_;
  }
}

void Herd::tend() {
  for (std::size_t i = 0; i < workers_.size(); ++i) {
    auto& worker = workers_[i];
    if (worker.stopped_at != 0 && monotonic_ns() >= worker.resume_at) resume(worker);
    if (worker.process->runs()) continue;
    deaths_.push_back("worker " + worker.name + " died by itself, with code " +
                      std::to_string(worker.process->exit_code()));
    start(i);
  }
}

void Herd::end() {
  for (auto& worker : workers_) {
    resume(worker);
    worker.process->signal(SIGTERM);
  }
  const auto until = std::chrono::steady_clock::now() + end_limit;
  for (auto& worker : workers_) {
    while (worker.process->runs() && std::chrono::steady_clock::now() < until)
      std::this_thread::sleep_for(5ms);
    if (worker.process->runs()) {
      worker.process->end(SIGKILL);  // not among the killed: its call hung
      deaths_.push_back("worker " + worker.name + " did not end when it was told to");
    } else if (worker.process->exit_code() != 0) {
      deaths_.push_back("worker " + worker.name + " ended with code " +
                        std::to_string(worker.process->exit_code()));
    }
  }
}

}  // namespace torture
