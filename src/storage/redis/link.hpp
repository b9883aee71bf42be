#pragma once
#include <onceward/core/result.hpp>
#include <onceward/storage/redis.hpp>

#include "storage/redis/reply.hpp"
#include "storage/wake.hpp"

#include <chrono>
#include <condition_variable>
#include <deque>
#include <initializer_list>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <vector>

namespace onceward::redis::detail {

/// What one caller sends to one server and what comes back. It belongs to the caller; between submit and wait
/// the link holds its address.
struct Exchange {
  enum class State : std::uint8_t {
    answered,  ///< every answer is there
    unsent,    ///< nothing of it reached the server: repeating is harmless
    lost,      ///< it was sent, and not every answer came; `answers` has the ones that did
  };

  std::string bytes;         ///< commands, in the protocol
  std::size_t expected = 0;  ///< how many answers they bring
  std::vector<Reply> answers{};
  State state = State::unsent;
  Error error{};  ///< of unsent and lost
  storage_detail::Wake wake{};
};

/// A connection as its server knows it. Empty: none.
struct ServerSide {
  std::string server;  ///< the run id, another one after each restart
  std::string client;  ///< CLIENT ID
};

/// One connection to one server, shared by all threads. A caller sends what it and others have queued, unless
/// another is sending already, which then sends it too; one of the callers that wait for answers reads for
/// all, and hands that on when its own have come. A lone caller writes and reads on its own thread at once.
/// The connection is made, and made again after a fault, by the caller that finds none. Where writes were
/// sent on the one before and not answered, the server closes that one first: what still lies in a buffer on
/// the way is done before anybody reads back, or never.
class Link {
 public:
  struct Settings {
    Address address;
    std::string user{};
    std::string password{};
    int database = 0;
    Duration connect_timeout{};
    Duration timeout{};  ///< without a byte from the server while an answer is waited for
    /// Sent first on a new connection; an error among the answers refuses it.
    std::vector<std::string> greetings{};
    bool stores = false;       ///< it is written on: needs the care above
    bool master_only = false;  ///< a replica is refused: it would answer with the past
    bool once = false;         ///< it is not made again: who uses it asks first where the master is now
    ServerSide lost{};         ///< of the link before this one, as lost() tells
  };

  explicit Link(Settings settings);
  ~Link();
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;

  /// Queues the exchange and sees that it is sent. Every submit needs its wait.
  void submit(Exchange& exchange);
  /// Returns when the exchange has its state.
  void wait(Exchange& exchange);

  [[nodiscard]] const Address& address() const noexcept { return settings_.address; }
  /// Whether it is of no more use: a link that is made once, and was lost or refused.
  [[nodiscard]] bool spent();
  /// The connection on which something was sent, was not answered, and that was not closed by its server
  /// since.
  [[nodiscard]] ServerSide lost();

 private:
  struct Socket;
  using Lock = std::unique_lock<std::mutex>;
  /// Taken off the queues; to be told once the lock is given up.
  using Finished = std::vector<Exchange*>;

  [[nodiscard]] Result<std::shared_ptr<Socket>> connect(const ServerSide& lost) const;
  [[nodiscard]] Result<void> greet(Socket& socket, const ServerSide& lost) const;
  [[nodiscard]] Result<std::vector<Reply>> converse(Socket& socket, std::string_view commands,
                                                    std::size_t answers) const;
  void ensure_connected(Lock& lock, Finished& finished);
  void send_queued(Lock& lock);
  void read_for_all(Lock& lock, const Exchange& self);
  void take_answers(std::vector<Reply>& answers, Finished& finished);
  [[nodiscard]] storage_detail::Wake::Address next_reader();
  void break_up(const std::shared_ptr<Socket>& socket, const Error& error, Finished& finished);
  static void tell(Finished& finished);

  Settings settings_;
  std::mutex mutex_;
  std::condition_variable connected_;
  std::shared_ptr<Socket> socket_;  ///< null: not connected
  ServerSide lost_;
  bool spent_ = false;
  std::deque<Exchange*> queue_;     ///< to be sent
  std::deque<Exchange*> inflight_;  ///< sent, in order; the first ones' answers come next
  bool connecting_ = false;
  bool sending_ = false;
  bool reading_ = false;
  int failures_ = 0;  ///< to connect, in a row
  std::chrono::steady_clock::time_point try_again_{};
  Error refused_{};  ///< why the last attempt to connect failed
  std::minstd_rand random_{std::random_device{}()};
};

/// The answer to one command, which is no error. Errors: as the link's and the server's, after "Redis,
/// DOING".
Result<Reply> ask(Link& link, std::initializer_list<std::string_view> words, std::string_view doing);

/// What tells a server, and each of its starts, from all others: in the answer of INFO server.
std::string_view run_id_of(std::string_view info) noexcept;

/// "127.0.0.1:6379", "/run/redis.sock"
std::string to_string(const Address& address);

}  // namespace onceward::redis::detail
