#pragma once
#include "caller.hpp"

#include <random>

namespace torture {

/// The longest lease of any call, and the longest retention of a key that is meant to live more than once.
inline constexpr std::chrono::milliseconds longest_lease{800};
inline constexpr std::chrono::milliseconds fleeting_retention{8'000};

/// The next call of a worker at this moment: of a hot key, of one of a long tail, or of one with a short
/// retention.
[[nodiscard]] Ask random_ask(std::mt19937& dice, std::int64_t now_ns);

/// A call that drives a key to its end: no work, no failure.
[[nodiscard]] Ask plain_ask(Kind kind, const std::string& key, int payload);

}  // namespace torture
