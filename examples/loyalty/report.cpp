#include "report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <thread>

namespace loyalty {
namespace {

using onceward::fail;
using onceward::Receipt;
using onceward::Result;
using onceward::RetryAdvice;

constexpr int most_tries = 8;
constexpr auto first_pause = std::chrono::milliseconds(50);

/// The place of an error that decides what to do: one that no repetition can mend before one that it may.
std::size_t worst(const std::vector<Result<Receipt>>& answers) {
  std::size_t found = answers.size();
  for (std::size_t i = 0; i < answers.size(); ++i) {
    if (answers[i]) continue;
    if (retry_advice(answers[i].error().code) == RetryAdvice::give_up) return i;
    found = std::min(found, i);
  }
  return found;
}

}  // namespace

Tally& Tally::operator+=(const Tally& other) noexcept {
  events += other.events;
  duplicates += other.duplicates;
  grants += other.grants;
  out_of_stock += other.out_of_stock;
  return *this;
}

Result<void> BatchReporter::report(const EventBatch& batch, Tally& tally) {
  const auto events = batch.events();
  auto answers = center_.report_many(events);
  std::vector<bool> uncertain;  // events whose first answer was lost: a duplicate is then the event itself
  for (int tries = 1;; ++tries) {
    const auto bad = worst(answers);
    if (bad == answers.size()) break;
    const auto& error = answers[bad].error();
    if (retry_advice(error.code) == RetryAdvice::give_up) {
      return fail(
          {error.code, fmt::format("{}:{}:1: {}", file_, batch.line(bad), error.message), error.native_code});
    }
    if (tries == most_tries) {
      return fail({error.code,
                   fmt::format("the storage does not answer, given up after {} tries: {}; nothing is lost, "
                               "run it again when it is well",
                               tries, error.message),
                   error.native_code});
    }
    uncertain.resize(events.size());
    for (std::size_t i = 0; i < answers.size(); ++i) uncertain[i] = uncertain[i] || !answers[i];
    std::this_thread::sleep_for(first_pause * (1 << (tries - 1)));
    auto again = center_.report_many(events);
    for (std::size_t i = 0; i < answers.size(); ++i) {
      if (!answers[i] || !again[i]) answers[i] = std::move(again[i]);
    }
  }
  for (std::size_t i = 0; i < answers.size(); ++i) {
    const auto& receipt = *answers[i];
    attention_.look_at(events[i], receipt);
    ++tally.events;
    if (receipt.duplicate && (uncertain.empty() || !uncertain[i])) {
      ++tally.duplicates;
      continue;
    }
    for (const auto& grant : receipt.grants) ++(grant.out_of_stock ? tally.out_of_stock : tally.grants);
  }
  return {};
}

}  // namespace loyalty
