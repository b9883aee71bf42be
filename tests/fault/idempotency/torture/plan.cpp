#include "plan.hpp"

#include "asks.hpp"

#include <algorithm>
#include <random>

namespace torture {
namespace {

using namespace std::chrono_literals;
using std::chrono::milliseconds;

constexpr auto longest_stop = 2'000ms;
static_assert(longest_stop + longest_lease < fleeting_retention / 2,
              "a sleeper wakes before its key is forgotten");

class Planner {
 public:
  Planner(unsigned seed, milliseconds length) : dice_(seed), length_(length) {}

  /// Calls `make` at moments that are `every` apart on average.
  template <class Make>
  void repeat(milliseconds every, const Make& make) {
    for (auto at = between(every / 2, every * 3 / 2); at < length_; at += between(every / 2, every * 3 / 2)) {
      faults_.push_back(make(at));
    }
  }
  milliseconds between(milliseconds least, milliseconds most) {
    return milliseconds(std::uniform_int_distribution<std::int64_t>(least.count(), most.count())(dice_));
  }
  int worker() { return std::uniform_int_distribution<int>(0, workers - 1)(dice_); }

  std::vector<Fault> done() {
    std::stable_sort(faults_.begin(), faults_.end(),
                     [](const Fault& a, const Fault& b) { return a.at < b.at; });
    return std::move(faults_);
  }

 private:
  std::mt19937 dice_;
  milliseconds length_;
  std::vector<Fault> faults_;
};

}  // namespace

std::vector<Fault> plan(unsigned seed, std::chrono::seconds length, milliseconds restart_every) {
  Planner planner(seed, length);
  planner.repeat(600ms, [&](milliseconds at) { return Fault{at, FaultKind::kill, planner.worker()}; });
  planner.repeat(1200ms, [&](milliseconds at) {
    const int worker = planner.worker();
    return Fault{at, FaultKind::stop, worker, planner.between(longest_lease + 100ms, longest_stop)};
  });
  if (restart_every == 0ms) return planner.done();
  planner.repeat(restart_every, [](milliseconds at) { return Fault{at, FaultKind::restart}; });
  planner.repeat(300ms, [&](milliseconds at) {
    const auto bytes = planner.between(1ms, 600ms).count();
    const bool to_server = planner.between(0ms, 1ms) == 1ms;
    constexpr auto all = INT64_MAX;
    return Fault{at, FaultKind::cut, 0, 0ms, to_server ? bytes : all, to_server ? all : bytes};
  });
  return planner.done();
}

}  // namespace torture
