#pragma once
#include "storage/redis/router.hpp"
#include "storage/redis/scripts.hpp"

namespace onceward::redis::detail {

/// What is known of an opened storage.
struct Setup {
  Shard shards = 0;
  std::string id;  ///< of the data; drawn when they were begun
};

/// Where a shard's keys begin: "<prefix>:{<shard>}".
std::string base_of(std::string_view prefix, Shard shard);

/// Checks the servers' version and settings. Errors: as open.
Result<void> check_servers(Router& router, const Options& options);

/// Loads the scripts into every server and notes the names they have there.
Result<void> load_scripts(Router& router, Scripts& scripts);

/// Finds the storage, or begins it: first its meta key, which of several creators decides, then the shards,
/// then the mark that they are all there. Who finds it half begun finishes it.
Result<Setup> ensure_storage(Router& router, const Options& options);

}  // namespace onceward::redis::detail
