#pragma once
#include <onceward/storage/storage.hpp>

#include <functional>
#include <string>
#include <vector>

namespace onceward::redis {

/// Where a Redis server listens. A `path` (a unix socket) goes before host and port.
struct Address {
  std::string host = "127.0.0.1";
  int port = 6379;
  std::string path{};

  friend bool operator==(const Address&, const Address&) = default;
};

/// What kind of installation the addresses lead to.
enum class Mode {
  single,    ///< one server; the first address
  sentinel,  ///< sentinels, which name the master and its successor
  cluster,   ///< some nodes of a Redis Cluster; the others are learnt from them
};

/// What to do about a server whose settings lose data: `maxmemory-policy` other than noeviction, or
/// persistence switched off (neither RDB nor AOF).
enum class UnsafeServer { refuse, warn, accept };

struct Options {
  Mode mode = Mode::single;
  std::vector<Address> addresses{Address{}};
  std::string master_name{};  ///< sentinel: the name of the master
  std::string user{};         ///< AUTH with a user (Redis 6); empty: only the password
  std::string password{};
  int database = 0;  ///< SELECT; a cluster has only 0
  /// Begins every key, so that several storages can live in one server. No '{' and no '}'.
  std::string prefix = "onceward";
  /// Unset: 64 for a new storage, its own count for an existing one. Set: another count is refused.
  std::optional<Shard> shards{};
  /// False: only an existing storage is opened, so that a server that lost its data is not begun anew in
  /// silence.
  bool create = true;
  Duration connect_timeout = std::chrono::seconds(1);
  /// Of one call, reconnecting and following a failover included. A call may take up to twice as long where
  /// its last attempt has been sent and is waited for; a commit that came while others were on their way (not
  /// in a cluster) begins when one of them has ended.
  Duration timeout = std::chrono::seconds(2);
  UnsafeServer unsafe_server = UnsafeServer::warn;
  /// Called with one sentence where `unsafe_server` is warn; empty: the sentence goes to standard error.
  std::function<void(const std::string&)> warn{};
  /// FOR TESTS: this clock decides instead of the server's. Must outlive the storage.
  const Clock* clock = nullptr;
};

/// Opens or creates a storage in Redis 7 or later. The concurrent calls of all threads share one connection
/// for each server: what is queued goes out in one write, one waiting caller reads for all; there is no
/// thread of our own. Several processes may use one storage.
///
/// Each batch is one atomic step of the server. How long an answered batch lasts is the server's setting:
/// appendfsync always survives power loss, everysec may lose the last second, and a failover may lose what
/// the master had not passed on yet; see docs/storages.md.
///
/// Where the data vanish under an open storage (FLUSHALL, a restart without persistence) every call that
/// reads an absence, or would write over one (insert, add, require of an absence), answers `corrupt`, so that
/// what was done before does not look new; an operation that expects a revision is refused. Only
/// Operation::insert_again still writes: who has a claim completes it, and that record is found from then on.
///
/// Small spans of callers side by side share a script call where one server holds all shards. What becomes of
/// one is not the others' affair, but for a lost answer: it leaves all of them `in_doubt`.
///
/// Errors: unavailable (no server, or it refuses the connection), timeout, invalid_argument (options; a wrong
/// password; another shard count; a newer format; an unsafe server that is to be refused), corrupt.
Result<std::unique_ptr<Storage>> open(Options options = {});

/// The options a URL names; see open_storage. Errors: invalid_argument.
Result<Options> parse_url(std::string_view url);

}  // namespace onceward::redis
