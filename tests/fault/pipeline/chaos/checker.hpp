#pragma once
#include "books.hpp"

#include <onceward/pipeline/run.hpp>

#include <optional>
#include <string>
#include <vector>

namespace chaos {

/// A run as it stands after the chaos; empty where there is no record.
struct Outcome {
  int number = 0;
  std::optional<onceward::RunView> view{};
};

struct Violation {
  std::string rule;
  std::string run;
  std::string what;
};

/// Compares runs with the books, by what scenario.hpp expects of each. Rules: "ended", "outcome", "once",
/// "missing", "unexpected", "amount", "undo", "order", "record", "serial".
[[nodiscard]] std::vector<Violation> check(const std::vector<Outcome>& outcomes,
                                           const std::vector<Effect>& effects);

}  // namespace chaos
