#pragma once
#include <string>
#include <vector>

// What runs inside the server. A shard's keys, all in one hash slot; BASE is "<prefix>:{<shard>}":
//   BASE:high   "<revision> <time> <id>": the largest revision a removed record had, the time of the last
//   write,
//               before which the shard's time does not fall, and the storage's id; without it the data are
//               gone
//   BASE:record:<n>:<partition>:<key>   "<revision> <due|-> <expires|-> <value>"; n is the partition's length
//   BASE:keys:<partition>   sorted set of the partition's keys, in byte order
//   BASE:due, BASE:expiry   sorted sets of "<n>:<partition>:<key>" by microseconds since 1970
// and in shard 0 BASE:meta   "<format> <shards> <id> <creating|ready>"
// Redis' own expiry is not used: it would take the record alone, and not what the sorted sets name.
namespace onceward::redis::detail {

struct Script {
  std::string text;
  std::string sha1{};  ///< as the server names it
};

/// The scripts of a storage. Their names are learnt from the server, which computes them anyway.
struct Scripts {
  Script commit;
  Script scan;
  Script due;
  /// SCRIPT LOAD of each, in the protocol.
  [[nodiscard]] std::vector<std::string> loads() const;
};
Scripts all_scripts();

}  // namespace onceward::redis::detail
