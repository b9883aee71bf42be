#include "storage/redis/link.hpp"

#include "storage/redis/command.hpp"
#include "storage/redis/errors.hpp"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace onceward::redis::detail {
namespace {

using storage_detail::Wake;
using SteadyClock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds first_pause{5};
constexpr std::chrono::milliseconds longest_pause{1000};
constexpr int most_doublings = 8;
/// A connection that rested longer is looked at before it is used: the other side may have closed it.
constexpr std::chrono::milliseconds rest_without_look{100};

timeval to_timeval(Duration duration) noexcept {
  const auto us = std::max<std::int64_t>(1, duration.count());
  return {static_cast<time_t>(us / 1'000'000), static_cast<suseconds_t>(us % 1'000'000)};
}

struct FreeContext {
  void operator()(redisContext* context) const noexcept { redisFree(context); }
};
struct FreeReader {
  void operator()(redisReader* reader) const noexcept { redisReaderFree(reader); }
};

Error io_error(const Address& address, std::string_view doing, int number) {
  const bool late = number == EAGAIN || number == EWOULDBLOCK || number == ETIMEDOUT;
  return {late ? ErrorCode::timeout : ErrorCode::unavailable,
          late ? fmt::format("Redis at {}: no answer in time while {}", to_string(address), doing)
               : fmt::format("Redis at {}: the connection broke while {}: {}", to_string(address), doing,
                             number == 0 ? "closed by the server" : std::strerror(number)),
          number};
}

/// What a server says to a new connection: a wrong password or database is no server that is away.
Error greeting_error(const Address& address, std::string_view answer) {
  auto error = to_error(answer, fmt::format("connecting to {}", to_string(address)));
  for (const auto* wrong : {"ERR AUTH", "ERR DB index", "ERR SELECT", "ERR invalid password"}) {
    if (!answer.starts_with(wrong)) continue;
    error.code = ErrorCode::invalid_argument;
    error.message += "; mend the user, the password or the database number of the URL";
  }
  return error;
}

}  // namespace

std::string_view run_id_of(std::string_view info) noexcept {
  constexpr std::string_view label = "run_id:";
  constexpr std::size_t digits = 40;
  const auto at = info.find(label);
  return at == std::string_view::npos ? std::string_view() : info.substr(at + label.size(), digits);
}

std::string to_string(const Address& address) {
  return address.path.empty() ? fmt::format("{}:{}", address.host, address.port) : address.path;
}

/// An open connection. One thread sends and one receives at a time; they may be two.
struct Link::Socket {
  std::unique_ptr<redisContext, FreeContext> context;
  std::unique_ptr<redisReader, FreeReader> reader{redisReaderCreate()};
  std::array<char, 65536> buffer{};
  SteadyClock::time_point used = SteadyClock::now();
  ServerSide who{};

  /// 0, or the number of the error.
  int send(std::string_view bytes) const noexcept {
    while (!bytes.empty()) {
      const auto sent = ::send(context->fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent < 0) {
        if (errno == EINTR) continue;
        return errno;
      }
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
    return 0;
  }

  /// Waits for bytes and appends the answers they complete.
  Result<void> receive(const Address& address, std::vector<Reply>& answers) {
    const auto got = ::recv(context->fd, buffer.data(), buffer.size(), 0);
    if (got < 0 && errno == EINTR) return {};
    if (got <= 0) return fail(io_error(address, "an answer was waited for", got == 0 ? 0 : errno));
    redisReaderFeed(reader.get(), buffer.data(), static_cast<std::size_t>(got));
    for (;;) {
      void* reply = nullptr;
      if (redisReaderGetReply(reader.get(), &reply) != REDIS_OK) {
        return fail(ErrorCode::unavailable,
                    fmt::format("Redis at {}: it answers something that is not the Redis protocol: {}",
                                to_string(address), reader->errstr));
      }
      if (reply == nullptr) return {};
      answers.emplace_back(static_cast<redisReply*>(reply));
    }
  }

  /// Whether the other side has closed it, or sent what nobody asked for.
  [[nodiscard]] bool stale() const noexcept {
    char byte = 0;
    const auto got = ::recv(context->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return got >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
  }

  /// Wakes who sends or receives on it; it is closed when the last of them lets go.
  void shut() const noexcept { ::shutdown(context->fd, SHUT_RDWR); }
};

Link::Link(Settings settings) : settings_(std::move(settings)), lost_(settings_.lost) {}

Link::~Link() = default;

Result<std::shared_ptr<Link::Socket>> Link::connect(const ServerSide& lost) const {
  const auto& address = settings_.address;
  auto socket = std::make_shared<Socket>();
  const auto limit = to_timeval(settings_.connect_timeout);
  socket->context.reset(address.path.empty()
                            ? redisConnectWithTimeout(address.host.c_str(), address.port, limit)
                            : redisConnectUnixWithTimeout(address.path.c_str(), limit));
  auto* context = socket->context.get();
  if (context == nullptr)
    return fail(ErrorCode::exhausted, "Redis: there is no memory left for a connection");
  if (context->err != 0) {
    return fail(
        Error{ErrorCode::unavailable,
              fmt::format("Redis at {}: cannot connect: {}; see that it runs and the address is right",
                          to_string(address), context->errstr),
              context->err});
  }
  redisSetTimeout(context, limit);
  if (auto greeted = greet(*socket, lost); !greeted) return fail(std::move(greeted).error());
  redisSetTimeout(context, to_timeval(settings_.timeout));
  (void)redisEnableKeepAlive(context);  // a connection without it works too
  return socket;
}

/// Says who we are, and learns who the server is.
Result<void> Link::greet(Socket& socket, const ServerSide& lost) const {
  const auto& [address, user, password, database, connect_timeout, timeout, greetings, stores, master_only,
               once, before] = settings_;
  std::string hello;
  CommandWriter writer(hello);
  std::size_t answers = 0;
  const auto say = [&](std::initializer_list<std::string_view> words) {
    writer.command(words);
    ++answers;
  };
  if (!password.empty() && user.empty()) say({"AUTH", password});
  if (!password.empty() && !user.empty()) say({"AUTH", user, password});
  if (database != 0) say({"SELECT", std::to_string(database)});
  for (const auto& greeting : greetings) hello += greeting;
  answers += greetings.size();
  if (stores) {
    say({"ROLE"});
    say({"CLIENT", "ID"});
    say({"INFO", "server"});
  }
  auto said = converse(socket, hello, answers);
  if (!said) return fail(std::move(said).error());
  if (!stores) return {};
  const auto& replies = *said;
  const auto role = elements_of(*replies[answers - 3]);
  if (master_only && (role.empty() || text_of(*role[0]) != "master")) {
    return fail(ErrorCode::unavailable,
                fmt::format("Redis at {}: it is a replica, which would answer with the past; name its master",
                            to_string(address)));
  }
  socket.who = {std::string(run_id_of(text_of(*replies[answers - 1]))),
                std::to_string(replies[answers - 2]->integer)};
  if (lost.server.empty() || lost.server != socket.who.server) return {};
  std::string kill;
  CommandWriter(kill).command({"CLIENT", "KILL", "ID", lost.client});
  auto killed = converse(socket, kill, 1);
  if (!killed) return fail(std::move(killed).error());
  return {};
}

/// Sends commands on a new connection; their answers, of which none is an error.
Result<std::vector<Reply>> Link::converse(Socket& socket, std::string_view commands,
                                          std::size_t answers) const {
  const auto& address = settings_.address;
  if (const int number = socket.send(commands); number != 0) {
    return fail(io_error(address, "a new connection was greeted", number));
  }
  std::vector<Reply> replies;
  while (replies.size() < answers) {
    if (auto got = socket.receive(address, replies); !got) return fail(std::move(got).error());
  }
  for (const auto& reply : replies) {
    if (is_error(*reply)) return fail(greeting_error(address, text_of(*reply)));
  }
  return replies;
}

bool Link::spent() {
  const std::lock_guard lock(mutex_);
  return spent_;
}

ServerSide Link::lost() {
  const std::lock_guard lock(mutex_);
  return lost_;
}

void Link::ensure_connected(Lock& lock, Finished& finished) {
  if (socket_ && inflight_.empty() && !sending_) {
    const auto now = SteadyClock::now();
    if (now - socket_->used > rest_without_look && socket_->stale()) {
      break_up(socket_, {ErrorCode::unavailable, "the server closed a resting connection"}, finished);
    } else {
      socket_->used = now;
    }
  }
  if (socket_) return;
  if (connecting_) {
    connected_.wait(lock, [&] { return !connecting_; });
    return;
  }
  if (spent_ || SteadyClock::now() < try_again_) return;
  connecting_ = true;
  const auto lost = lost_;
  lock.unlock();
  auto made = connect(lost);
  lock.lock();
  connecting_ = false;
  if (made) {
    socket_ = *std::move(made);
    lost_ = {};
    failures_ = 0;
  } else {
    refused_ = std::move(made).error();
    spent_ = settings_.once;
    const auto pause = std::min<std::chrono::microseconds>(
        first_pause * (1 << std::min(failures_++, most_doublings)), longest_pause);
    // Between half of it and the whole: clients that lost one server together do not come back together.
    const auto half = pause.count() / 2;
    try_again_ = SteadyClock::now() + std::chrono::microseconds(std::uniform_int_distribution<std::int64_t>(
                                          half, pause.count())(random_));
  }
  connected_.notify_all();
}

void Link::submit(Exchange& exchange) {
  exchange.answers.clear();
  exchange.wake.reset();
  Finished finished;
  Lock lock(mutex_);
  ensure_connected(lock, finished);
  if (!socket_) {
    exchange.error = refused_;
    exchange.state = Exchange::State::unsent;
    finished.push_back(&exchange);
  } else {
    queue_.push_back(&exchange);
    if (!sending_) send_queued(lock);  // else the one that sends takes it along
  }
  lock.unlock();
  tell(finished);
}

void Link::send_queued(Lock& lock) {
  sending_ = true;
  Finished finished;
  std::string together;
  for (bool own = true; !queue_.empty(); own = false) {
    const auto socket = socket_;
    std::string_view bytes;
    if (own) {
      bytes = queue_.front()->bytes;  // the caller's, and alone: it cannot be gone before this returns
    } else {
      together.clear();
      for (const auto* exchange : queue_) together += exchange->bytes;
      bytes = together;
    }
    inflight_.insert(inflight_.end(), queue_.begin(), queue_.end());
    queue_.clear();
    lock.unlock();
    const int number = socket->send(bytes);
    lock.lock();
    if (number != 0) break_up(socket, io_error(settings_.address, "a command was sent", number), finished);
  }
  sending_ = false;
  const auto reader = next_reader();
  lock.unlock();
  Wake::wake(reader);
  tell(finished);
  lock.lock();
}

void Link::wait(Exchange& exchange) {
  while (!exchange.wake.done()) {
    Lock lock(mutex_);
    if (!reading_ && !inflight_.empty()) {
      read_for_all(lock, exchange);
    } else {
      lock.unlock();
      exchange.wake.sleep();
    }
  }
}

void Link::read_for_all(Lock& lock, const Exchange& self) {
  reading_ = true;
  const auto socket = socket_;
  std::vector<Reply> answers;
  Finished finished;
  while (!self.wake.done() && socket_ == socket && !inflight_.empty()) {
    lock.unlock();
    answers.clear();
    const auto got = socket->receive(settings_.address, answers);
    lock.lock();
    if (socket_ != socket) break;
    take_answers(answers, finished);
    if (!got) break_up(socket, got.error(), finished);
    lock.unlock();
    tell(finished);
    lock.lock();
  }
  reading_ = false;
  const auto reader = next_reader();
  lock.unlock();
  Wake::wake(reader);
}

void Link::take_answers(std::vector<Reply>& answers, Finished& finished) {
  for (auto& answer : answers) {
    if (inflight_.empty()) {
      break_up(socket_,
               {ErrorCode::unavailable,
                fmt::format("Redis at {}: it answers what nobody asked", to_string(settings_.address))},
               finished);
      return;
    }
    auto& exchange = *inflight_.front();
    exchange.answers.push_back(std::move(answer));
    if (exchange.answers.size() < exchange.expected) continue;
    inflight_.pop_front();
    exchange.state = Exchange::State::answered;
    finished.push_back(&exchange);
  }
}

/// Somebody has to read as long as answers are awaited; who slept while it was queued does not know it yet.
Wake::Address Link::next_reader() {
  return reading_ || inflight_.empty() ? nullptr : inflight_.front()->wake.call();
}

void Link::break_up(const std::shared_ptr<Socket>& socket, const Error& error, Finished& finished) {
  if (socket_ != socket || !socket_) return;
  if (!inflight_.empty()) lost_ = socket_->who;
  if (settings_.once) {
    spent_ = true;
    refused_ = error;
  }
  socket_->shut();
  socket_.reset();
  const auto end = [&](std::deque<Exchange*>& exchanges, Exchange::State state) {
    for (auto* exchange : exchanges) {
      exchange->error = error;
      exchange->state = state;
      finished.push_back(exchange);
    }
    exchanges.clear();
  };
  end(inflight_, Exchange::State::lost);
  end(queue_, Exchange::State::unsent);
}

void Link::tell(Finished& finished) {
  for (auto* exchange : finished) Wake::wake(exchange->wake.finish());
  finished.clear();
}

Result<Reply> ask(Link& link, std::initializer_list<std::string_view> words, std::string_view doing) {
  Exchange exchange;
  CommandWriter(exchange.bytes).command(words);
  exchange.expected = 1;
  link.submit(exchange);
  link.wait(exchange);
  if (exchange.state != Exchange::State::answered) return fail(std::move(exchange.error));
  auto& reply = exchange.answers.front();
  if (is_error(*reply)) return fail(to_error(text_of(*reply), doing));
  return std::move(reply);
}

}  // namespace onceward::redis::detail
