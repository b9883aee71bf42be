#include "downstream.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <stdexcept>

namespace chaos {
namespace {

using namespace std::chrono_literals;

constexpr int backlog = 64;
constexpr auto wake_every = 5ms;
constexpr unsigned latest_ms = 300;

std::string text_of(const Answer& answer) {
  switch (answer.kind) {
    case Answer::Kind::ok: return "ok\t" + std::to_string(answer.receipt) + "\n";
    case Answer::Kind::rejected: return "rejected\n";
    case Answer::Kind::wrong: break;
  }
  return "wrong\n";
}

}  // namespace

Downstream::Downstream(std::string socket_path, unsigned seed, Faults faults)
    : path_(std::move(socket_path)), faults_(faults), random_(seed) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path_.size() >= sizeof address.sun_path)
    throw std::runtime_error("the socket's path is too long: " + path_);
  path_.copy(address.sun_path, path_.size());
  listener_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (::bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(listener_, backlog) != 0)
    throw std::runtime_error("the downstream cannot listen on " + path_);
  thread_ = std::jthread([this](const std::stop_token& stop) { serve(stop); });
}

Downstream::~Downstream() { stop(); }

void Downstream::stop() {
  if (!thread_.joinable()) return;
  thread_.request_stop();
  thread_.join();
  carry_out_late(Clock::time_point::max());
  for (const auto& [client, _] : clients_) ::close(client);
  ::close(listener_);
}

void Downstream::accept_client() {
  const int client = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
  if (client >= 0) clients_.emplace(client, "");
}

void Downstream::carry_out_late(Clock::time_point until) {
  while (!later_.empty() && later_.begin()->first <= until) {
    (void)books_.take(later_.begin()->second);
    later_.erase(later_.begin());
    ++counts_.late;
  }
}

std::string Downstream::answer(const Request& request) {
  ++counts_.requests;
  const auto chance = random_() % 1000;
  if (chance < faults_.down) {
    ++counts_.down;
    return "down\n";
  }
  if (chance < faults_.down + faults_.lost) {
    ++counts_.lost;
    const auto which = random_() % 3;
    if (which == 1) (void)books_.take(request);
    if (which == 2) later_.emplace(Clock::now() + std::chrono::milliseconds(random_() % latest_ms), request);
    return {};
  }
  const auto said = books_.take(request);
  if (said.kind == Answer::Kind::ok && chance < faults_.down + faults_.lost + faults_.accepted) {
    ++counts_.accepted;
    return "accepted\n";
  }
  return text_of(said);
}

bool Downstream::read_client(int client, std::string& text) {
  std::array<char, 4096> buffer{};
  const auto count = ::read(client, buffer.data(), buffer.size());
  if (count <= 0) return false;
  text.append(buffer.data(), static_cast<std::size_t>(count));
  for (auto end = text.find('\n'); end != std::string::npos; end = text.find('\n')) {
    const auto reply = answer(Request::parse(std::string_view(text).substr(0, end)));
    text.erase(0, end + 1);
    if (!reply.empty()) (void)::send(client, reply.data(), reply.size(), MSG_NOSIGNAL);
  }
  return true;
}

void Downstream::serve(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    std::vector<pollfd> waits{{listener_, POLLIN, 0}};
    for (const auto& [client, _] : clients_) waits.push_back({client, POLLIN, 0});
    (void)::poll(waits.data(), waits.size(), static_cast<int>(wake_every / 1ms));
    carry_out_late(Clock::now());
    for (const auto& wait : waits) {
      if (wait.revents == 0) continue;
      if (wait.fd == listener_) {
        accept_client();
      } else if (!read_client(wait.fd, clients_[wait.fd])) {
        ::close(wait.fd);
        clients_.erase(wait.fd);
      }
    }
  }
}

}  // namespace chaos
