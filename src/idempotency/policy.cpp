#include <onceward/core/limits.hpp>
#include <onceward/idempotency/outcome.hpp>
#include <onceward/idempotency/policy.hpp>

#include <fmt/format.h>

#include <algorithm>

namespace onceward {
namespace {

constexpr std::size_t most_operation_bytes = 64;
constexpr std::size_t most_cached = 1'000'000;
constexpr int most_attempts = 1'000'000;
constexpr std::size_t record_overhead_bytes = 4096;

Unexpected refuse(std::string_view field, std::string_view why) {
  return fail(ErrorCode::invalid_argument, fmt::format("Policy::{} {}", field, why));
}

Result<void> check_duration(std::string_view field, Duration duration) {
  if (duration.count() > 0 && duration.count() <= limits::duration_us) return {};
  return refuse(field, fmt::format("is {} us; it must be more than 0 and at most {} us", duration.count(),
                                   limits::duration_us));
}

}  // namespace

Result<void> Policy::check() const {
  const bool named =
      !operation.empty() && operation.size() <= most_operation_bytes &&
      std::all_of(operation.begin(), operation.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
      });
  if (!named)
    return refuse("operation",
                  fmt::format("is \"{}\"; use 1 to 64 of a-z, 0-9, '.', '_' and '-'", operation));
  if (auto fine = check_duration("lease", lease); !fine) return fine;
  if (auto fine = check_duration("retention", retention); !fine) return fine;
  if (auto fine = check_duration("wait_limit", wait_limit); !fine) return fine;
  if (auto fine = check_duration("record_limit", record_limit); !fine) return fine;
  if (retention < lease)
    return refuse("retention", "is shorter than the lease: a claim would vanish while it is held");
  if (on_storage_down == OnStorageDown::fallback && fallback == nullptr)
    return refuse("fallback", "is null: on_storage_down = fallback needs a second storage");
  if (replay_cache > most_cached)
    return refuse("replay_cache", fmt::format("is {}; it is at most {}", replay_cache, most_cached));
  if (auto fine = check_duration("replay_cache_for", replay_cache_for); !fine) return fine;
  if (attempts_max < 1 || attempts_max > most_attempts) {
    return refuse("attempts_max",
                  fmt::format("is {}; it must lie between 1 and {}", attempts_max, most_attempts));
  }
  if (result_bytes_max < 1 || result_bytes_max > limits::value_bytes - record_overhead_bytes) {
    return refuse("result_bytes_max", fmt::format("is {}; it must lie between 1 and {}", result_bytes_max,
                                                  limits::value_bytes - record_overhead_bytes));
  }
  return {};
}

ErrorClass classify_error(const Error& error) noexcept {
  switch (retry_advice(error.code)) {
    case RetryAdvice::retry: return ErrorClass::retryable;
    case RetryAdvice::read_back: return ErrorClass::in_doubt;
    case RetryAdvice::give_up: break;
  }
  return ErrorClass::final;
}

std::string_view to_string(Verdict verdict) noexcept {
  switch (verdict) {
    case Verdict::executed: return "executed";
    case Verdict::replayed: return "replayed";
    case Verdict::in_progress: return "in_progress";
    case Verdict::key_reused: return "key_reused";
    case Verdict::in_doubt: return "in_doubt";
    case Verdict::lease_lost: return "lease_lost";
    case Verdict::result_unavailable: return "result_unavailable";
    case Verdict::storage_down: return "storage_down";
    case Verdict::attempts_exhausted: return "attempts_exhausted";
  }
  return "unknown";
}

}  // namespace onceward
