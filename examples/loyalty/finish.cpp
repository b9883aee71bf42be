#include "finish.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <thread>

namespace loyalty {
namespace {

using onceward::Duration;
using onceward::fail;
using onceward::Result;
using onceward::RetryAdvice;

constexpr int most_tries = 8;
constexpr Duration first_pause = std::chrono::milliseconds(50);
constexpr Duration longest_sleep = std::chrono::seconds(1);
constexpr Duration shortest_sleep = std::chrono::milliseconds(1);

void wait(Duration left, Progress& progress) {
  if (left >= longest_sleep) {
    progress.say(fmt::format("waiting for {} s: rewards in progress elsewhere, or to be tried again",
                             std::chrono::ceil<std::chrono::seconds>(left).count()));
  }
  std::this_thread::sleep_for(std::clamp(left, shortest_sleep, longest_sleep));
}

void look_again(onceward::TaskCenter& center, Attention& attention) {
  for (const auto& event : attention.take_unsettled()) {
    const auto receipt = center.report(event);
    if (receipt) attention.look_at(event, *receipt);
  }
  for (const auto& event : attention.take_unsettled()) {
    attention.note(fmt::format("{}/{}, event {}", event.merchant, event.user, event.id), "not settled", {});
  }
}

}  // namespace

Result<Finished> finish_runs(onceward::TaskCenter& center, Attention& attention, Progress& progress) {
  Finished finished;
  for (int failures = 0;;) {
    const auto work = center.work();
    if (!work) {
      if (++failures == most_tries || retry_advice(work.error().code) == RetryAdvice::give_up) {
        return fail(work.error());
      }
      std::this_thread::sleep_for(first_pause * (1 << (failures - 1)));
      continue;
    }
    failures = 0;
    finished.taken += work->taken;
    finished.unknown_plans = work->unknown_plans;
    if (work->taken != 0) continue;
    // What is due now and yet not taken belongs to pipelines of another campaign: waiting does not help.
    if (!work->next_in || (work->unknown_plans != 0 && *work->next_in <= Duration::zero())) break;
    wait(*work->next_in, progress);
  }
  look_again(center, attention);
  return finished;
}

}  // namespace loyalty
