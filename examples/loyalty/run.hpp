#pragma once
#include "options.hpp"

#include <onceward/core/result.hpp>

#include <string>
#include <vector>

namespace loyalty {

/// What a run has to say in the end.
struct Outcome {
  std::string summary;                 ///< one line: "events=10705 duplicates=0 grants=..."
  std::vector<std::string> attention;  ///< rewards that need an operator
};

/// The program: checks the campaign and the orders, opens the stores, reports the orders, waits until every
/// reward is issued, writes the ledger. Until all that can be checked is right, nothing is opened or created.
/// Errors: whatever was wrong; the message names file, line and column where there are such.
onceward::Result<Outcome> run(const Options& options);

}  // namespace loyalty
