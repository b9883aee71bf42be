#pragma once
#include "orders.hpp"
#include "report.hpp"

namespace loyalty {

struct FeedOptions {
  unsigned threads = 1;
  std::size_t batch = 256;
};

/// Reports all orders. With several threads the caller's reads and the others report; a user's orders always
/// go to the same thread, so that they are applied in the order of the file. Errors: as CsvReader and
/// BatchReporter; the rest of the orders is not reported then.
onceward::Result<Tally> feed(const Orders& orders, const RowMapper& mapper, BatchReporter& reporter,
                             const FeedOptions& options, Progress& progress);

}  // namespace loyalty
