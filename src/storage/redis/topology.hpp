#pragma once
#include "storage/redis/link.hpp"

#include <map>

namespace onceward::redis::detail {

/// Which server a shard's keys live on now. All calls are safe from any thread.
class Topology {
 public:
  virtual ~Topology() = default;

  /// The link to the shard's server. Errors: unavailable (nobody knows one).
  virtual Result<std::shared_ptr<Link>> link_of(Shard shard) = 0;
  /// The link to a server a redirection named.
  virtual std::shared_ptr<Link> link_to(const Address& address) = 0;
  /// A server said that the shard lives there now.
  virtual void moved(Shard shard, const Address& address) = 0;
  /// Something did not go as this topology says, seen on `link` (null: no link was known): learn it anew.
  virtual void look_again(const std::shared_ptr<Link>& link) = 0;
  /// One link to every master, for what is asked of servers and not of shards.
  virtual Result<std::vector<std::shared_ptr<Link>>> masters() = 0;

 protected:
  Topology() = default;
  Topology(const Topology&) = default;
  Topology& operator=(const Topology&) = default;
};

/// By the options' mode. `greetings` are sent first on every connection to a data server.
Result<std::unique_ptr<Topology>> make_topology(const Options& options, std::vector<std::string> greetings);

/// The hash slot of a key's tag in a Redis Cluster: CRC16 (XMODEM) modulo 16384, as the cluster specification
/// says.
std::uint16_t slot_of(std::string_view tag) noexcept;

/// The text between the braces of a shard's keys.
std::string tag_of(Shard shard);

}  // namespace onceward::redis::detail
