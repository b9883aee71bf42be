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

/// A value that no name stands for comes of a cast, and means nothing here.
template <class E>
Result<void> check_choice(std::string_view field, E choice, E last) {
  if (choice >= E{} && choice <= last) return {};
  return refuse(field, fmt::format("is {}, which is none of its values", static_cast<int>(choice)));
}

/// Names parted by dots, none of them empty.
Result<void> check_path(std::string_view path) {
  const bool whole =
      !path.empty() && path.front() != '.' && path.back() != '.' && path.find("..") == std::string_view::npos;
  if (whole) return {};
  return refuse("fingerprint_without",
                fmt::format("has \"{}\"; give names of fields, such as \"meta.sent_at\"", path));
}

}  // namespace

bool guard_detail::is_operation_name(std::string_view name) noexcept {
  return !name.empty() && name.size() <= most_operation_bytes &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
         });
}

Result<void> Policy::check() const {
  if (!guard_detail::is_operation_name(operation))
    return refuse("operation",
                  fmt::format("is \"{}\"; use 1 to 64 of a-z, 0-9, '.', '_' and '-'", operation));
  if (auto fine = check_duration("lease", lease); !fine) return fine;
  if (auto fine = check_duration("retention", retention); !fine) return fine;
  if (auto fine = check_duration("wait_limit", wait_limit); !fine) return fine;
  if (auto fine = check_duration("record_limit", record_limit); !fine) return fine;
  if (retention < lease)
    return refuse("retention", "is shorter than the lease: a claim would vanish while it is held");
  if (auto fine = check_choice("on_duplicate", on_duplicate, OnDuplicate::raise); !fine) return fine;
  if (auto fine = check_choice("on_busy", on_busy, OnBusy::wait); !fine) return fine;
  if (auto fine = check_choice("on_stale", on_stale, OnStale::reconcile); !fine) return fine;
  if (auto fine = check_choice("on_storage_down", on_storage_down, OnStorageDown::fallback); !fine)
    return fine;
  if (auto fine = check_choice("acknowledge", acknowledge, Acknowledge::post); !fine) return fine;
  for (const auto& path : fingerprint_without) {
    if (auto fine = check_path(path); !fine) return fine;
  }
  if (fallback != nullptr && fallback == storage)
    return refuse("fallback", "is the first storage: it would be away together with it");
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
