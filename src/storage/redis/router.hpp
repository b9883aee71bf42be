#pragma once
#include "storage/redis/topology.hpp"

namespace onceward::redis::detail {

/// One command on one shard, and what became of it.
struct Request {
  Shard shard = 0;
  std::string command;  ///< in the protocol
  bool timed = false;   ///< also ask the server's time, just before
  bool writes = false;

  Reply time{};
  Reply answer{};  ///< null: it failed, see error
  /// unavailable or timeout: nothing happened. in_doubt: it was sent, and its answer was lost.
  Error error{};
};

/// What a server's error asks of the client. Pure.
struct Redirection {
  enum class Kind : std::uint8_t {
    none,    ///< it is the answer
    moved,   ///< the shard lives at `address`, from now on
    ask,     ///< this once, at `address`
    again,   ///< not now; a little later
    scripts  ///< the server has forgotten the scripts
  };
  Kind kind = Kind::none;
  Address address{};
};
Redirection redirection_of(std::string_view error, const Address& asked);

/// Brings requests to the servers of their shards, all at once, and follows redirections and failovers until
/// each has its answer or the time is over. A write that was sent and not answered is not repeated.
class Router {
 public:
  Router(std::unique_ptr<Topology> topology, std::vector<std::string> greetings, Duration timeout)
      : topology_(std::move(topology)), greetings_(std::move(greetings)), timeout_(timeout) {}

  /// The order of requests to one shard is not kept: give one of each shard at a time.
  void run(std::span<Request> requests);
  [[nodiscard]] Topology& topology() noexcept { return *topology_; }

 private:
  struct Attempt;
  /// One try of each; true where all that is open was only sent elsewhere and need not wait.
  bool once(std::vector<Attempt>& attempts);
  void teach_scripts(Link& link);

  std::unique_ptr<Topology> topology_;
  std::vector<std::string> greetings_;
  Duration timeout_;
};

}  // namespace onceward::redis::detail
