#pragma once
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <chrono>
#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

/// A TCP proxy of a test's own that cuts connections at a chosen byte.
class FaultProxy {
 public:
  static constexpr std::int64_t never = INT64_MAX;

  explicit FaultProxy(int server_port) : server_port_(server_port) {
    listener_ = ::socket(AF_INET, SOCK_STREAM, 0);
    auto address = local(0);
    socklen_t size = sizeof address;
    auto* const any = reinterpret_cast<sockaddr*>(&address);
    if (::bind(listener_, any, size) != 0 || ::listen(listener_, 16) != 0 ||
        ::getsockname(listener_, any, &size) != 0) {
      throw std::runtime_error("the proxy cannot listen");
    }
    port_ = ntohs(address.sin_port);
    thread_ = std::jthread([this](const std::stop_token& stop) { serve(stop); });
  }
  ~FaultProxy() {
    thread_.request_stop();
    thread_.join();
    ::close(listener_);
  }
  FaultProxy(const FaultProxy&) = delete;
  FaultProxy& operator=(const FaultProxy&) = delete;

  [[nodiscard]] int port() const noexcept { return port_; }
  /// Lets so many more bytes pass to the server, and to the client, then cuts the connection that was to pass
  /// the next one, once.
  void cut_after(std::int64_t to_server, std::int64_t to_client) {
    to_server_ = to_server;
    to_client_ = to_client;
  }
  [[nodiscard]] int cuts() const noexcept { return cuts_; }
  /// Keeps, from now on, what clients of the connections there are send, as a network does that is in
  /// trouble.
  void hold() { holding_ = ++turns_; }
  /// The same from the moment on at which a client sends these bytes.
  void hold_at(std::string bytes) {
    const std::lock_guard lock(mutex_);
    hold_at_ = std::move(bytes);
  }
  /// Brings what was kept to the server, also where the client has gone meanwhile, and returns when the
  /// server has taken it.
  void release() {
    releasing_ = holding_.load();
    while (released_ < releasing_) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }

 private:
  static sockaddr_in local(int port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    return address;
  }

  struct Pair {
    int client;
    int server;
    int born = 0;  ///< the turn in which it was made
    std::string kept{};
  };

  /// All connections in one thread: what is cut at which byte does not depend on who is scheduled.
  void serve(const std::stop_token& stop) {
    std::vector<Pair> pairs;
    while (!stop.stop_requested()) {
      if (released_ < releasing_) flush(pairs);
      std::vector<pollfd> ends{{listener_, POLLIN, 0}};
      for (const auto& pair : pairs) {
        ends.push_back({pair.client, POLLIN, 0});
        ends.push_back({pair.born < holding_ ? -1 : pair.server, POLLIN, 0});
      }
      if (::poll(ends.data(), ends.size(), 20) <= 0) continue;
      std::vector<Pair> kept;
      for (std::size_t i = 0; i < pairs.size(); ++i) {
        const auto [client, server, born, kept_bytes] = pairs[i];
        if (born < holding_) {
          if (ends[1 + 2 * i].revents != 0) keep(pairs[i]);
          kept.push_back(pairs[i]);
          continue;
        }
        if (ends[1 + 2 * i].revents != 0 && held(pairs[i])) {
          kept.push_back(pairs[i]);
          continue;
        }
        const bool goes_on = (ends[1 + 2 * i].revents == 0 || pass(client, server, to_server_)) &&
                             (ends[2 + 2 * i].revents == 0 || pass(server, client, to_client_));
        goes_on ? kept.push_back(pairs[i]) : close(pairs[i]);
      }
      pairs = std::move(kept);
      if (ends[0].revents != 0) accept(pairs);
    }
    for (const auto& pair : pairs) close(pair);
  }

  void accept(std::vector<Pair>& pairs) const {
    const Pair pair{::accept(listener_, nullptr, nullptr), ::socket(AF_INET, SOCK_STREAM, 0), turns_, {}};
    const auto address = local(server_port_);
    const bool open =
        ::connect(pair.server, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
    open ? pairs.push_back(pair) : close(pair);
  }
  static void close(const Pair& pair) {
    ::close(pair.client);
    ::close(pair.server);
  }

  /// Whether a connection is held from now on, its next bytes with it.
  bool held(const Pair& pair) {
    const std::lock_guard lock(mutex_);
    if (hold_at_.empty()) return false;
    std::array<char, 4096> buffer;
    const auto there = ::recv(pair.client, buffer.data(), buffer.size(), MSG_PEEK);
    const std::string_view bytes(buffer.data(), static_cast<std::size_t>(std::max<ssize_t>(there, 0)));
    if (bytes.find(hold_at_) == std::string_view::npos) return false;
    hold_at_.clear();
    hold();
    return true;
  }
  /// A client that has gone is closed, and known by that.
  static void keep(Pair& pair) {
    std::array<char, 4096> buffer;
    const auto got = ::recv(pair.client, buffer.data(), buffer.size(), 0);
    if (got > 0) {
      pair.kept.append(buffer.data(), static_cast<std::size_t>(got));
    } else {
      ::close(pair.client);
      pair.client = -1;
    }
  }
  void flush(std::vector<Pair>& pairs) {
    for (auto& pair : pairs) {
      if (pair.born >= holding_) continue;
      // A server that has closed the connection takes nothing any more.
      (void)::send(pair.server, pair.kept.data(), pair.kept.size(), MSG_NOSIGNAL);
      ::shutdown(pair.server, SHUT_WR);
      std::array<char, 4096> buffer;
      while (::recv(pair.server, buffer.data(), buffer.size(), 0) > 0) continue;
      close(pair);
    }
    std::erase_if(pairs, [&](const Pair& pair) { return pair.born < holding_; });
    released_ = releasing_.load();
  }

  bool pass(int from, int to, std::atomic<std::int64_t>& left) {
    std::array<char, 4096> buffer;
    const auto got = ::recv(from, buffer.data(), buffer.size(), 0);
    if (got <= 0) return false;
    const auto allowed = std::min<std::int64_t>(got, left);
    if (::send(to, buffer.data(), static_cast<std::size_t>(allowed), MSG_NOSIGNAL) != allowed) return false;
    if (left == never) return true;
    left -= allowed;
    if (left > 0) return true;
    to_server_ = never;
    to_client_ = never;
    ++cuts_;
    return false;
  }

  int server_port_;
  int listener_ = -1;
  int port_ = 0;
  std::atomic<std::int64_t> to_server_ = never;
  std::atomic<std::int64_t> to_client_ = never;
  std::atomic<int> cuts_ = 0;
  std::mutex mutex_;
  std::string hold_at_{};
  std::atomic<int> turns_ = 0;
  std::atomic<int> holding_ = 0;  ///< connections made before this turn are held
  std::atomic<int> releasing_ = 0;
  std::atomic<int> released_ = 0;
  std::jthread thread_;
};
