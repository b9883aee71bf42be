#include "storage/redis/router.hpp"

#include "storage/redis/command.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <list>
#include <thread>

namespace onceward::redis::detail {
namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr std::chrono::microseconds first_pause{2'000};
constexpr std::chrono::microseconds longest_pause{100'000};
constexpr int followed_at_once = 3;

std::chrono::microseconds jittered(std::chrono::microseconds pause) {
  thread_local std::minstd_rand random{std::random_device{}()};
  return std::chrono::microseconds(
      std::uniform_int_distribution<std::int64_t>(pause.count() / 2, pause.count())(random));
}

/// "MOVED 3999 127.0.0.1:6381": the address is the last word, an empty host the server that was asked.
Address address_in(std::string_view error, const Address& asked) {
  const auto word = error.substr(error.rfind(' ') + 1);
  const auto colon = word.rfind(':');
  Address address{asked.host, asked.port, {}};
  if (colon == std::string_view::npos) return address;
  if (colon != 0) address.host = word.substr(0, colon);
  const auto port = word.substr(colon + 1);
  std::from_chars(port.data(), port.data() + port.size(), address.port);
  return address;
}

}  // namespace

Redirection redirection_of(std::string_view error, const Address& asked) {
  using Kind = Redirection::Kind;
  const auto code = error.substr(0, error.find(' '));
  if (code == "MOVED") return {Kind::moved, address_in(error, asked)};
  if (code == "ASK") return {Kind::ask, address_in(error, asked)};
  if (code == "NOSCRIPT") return {Kind::scripts};
  for (const auto* later :
       {"TRYAGAIN", "CLUSTERDOWN", "LOADING", "MASTERDOWN", "READONLY", "BUSY", "NOREPLICAS"}) {
    if (code == later) return {Kind::again};
  }
  return {};
}

/// A request on its way.
struct Router::Attempt {
  Request* request;
  std::shared_ptr<Link> link{};  ///< where it is sent next; null: the topology says
  bool asking = false;
  bool open = true;
};

bool Router::once(std::vector<Attempt>& attempts) {
  struct Group {
    explicit Group(std::shared_ptr<Link> to) : link(std::move(to)) {}
    std::shared_ptr<Link> link;
    Exchange exchange{};
    std::vector<Attempt*> attempts{};
  };
  std::list<Group> groups;
  bool only_redirected = true;
  for (auto& attempt : attempts) {
    auto& request = *attempt.request;
    if (!attempt.link) {
      auto link = topology_->link_of(request.shard);
      if (!link) {
        request.error = std::move(link).error();
        topology_->look_again(nullptr);
        only_redirected = false;
        continue;
      }
      attempt.link = *std::move(link);
    }
    auto group =
        std::find_if(groups.begin(), groups.end(), [&](const Group& g) { return g.link == attempt.link; });
    if (group == groups.end()) group = groups.emplace(groups.end(), attempt.link);
    CommandWriter writer(group->exchange.bytes);
    if (request.timed) writer.command({"TIME"});
    if (attempt.asking) writer.command({"ASKING"});
    group->exchange.bytes += request.command;
    group->exchange.expected += 1U + (request.timed ? 1U : 0U) + (attempt.asking ? 1U : 0U);
    group->attempts.push_back(&attempt);
  }
  for (auto& group : groups) group.link->submit(group.exchange);
  for (auto& group : groups) {
    group.link->wait(group.exchange);
    auto& answers = group.exchange.answers;
    std::size_t next = 0;
    for (auto* attempt : group.attempts) {
      auto& request = *attempt->request;
      const std::size_t needs = 1U + (request.timed ? 1U : 0U) + (attempt->asking ? 1U : 0U);
      const auto link = std::exchange(attempt->link, nullptr);
      const bool asked = std::exchange(attempt->asking, false);
      if (next + needs > answers.size()) {
        next = answers.size();
        const bool unknown = request.writes && group.exchange.state == Exchange::State::lost;
        request.error = group.exchange.error;
        if (unknown) {
          request.error.code = ErrorCode::in_doubt;
          attempt->open = false;
        }
        topology_->look_again(link);
        only_redirected = false;
        continue;
      }
      if (request.timed) request.time = std::move(answers[next]);
      auto& answer = answers[next + needs - 1];
      next += needs;
      const auto redirection =
          is_error(*answer) ? redirection_of(text_of(*answer), link->address()) : Redirection{};
      using Kind = Redirection::Kind;
      if (redirection.kind == Kind::none) {
        request.answer = std::move(answer);
        attempt->open = false;
        continue;
      }
      request.error = {ErrorCode::unavailable,
                       fmt::format("Redis at {}: {}", to_string(link->address()), text_of(*answer))};
      if (redirection.kind == Kind::moved) topology_->moved(request.shard, redirection.address);
      if (redirection.kind == Kind::ask) {
        attempt->link = topology_->link_to(redirection.address);
        attempt->asking = true;
      }
      if (redirection.kind == Kind::scripts) {
        teach_scripts(*link);
        if (asked) {
          attempt->link = link;
          attempt->asking = true;
        }
      }
      if (redirection.kind == Kind::again) {
        topology_->look_again(link);
        only_redirected = false;
      }
    }
  }
  return only_redirected;
}

/// A server that was restarted, promoted or flushed of its scripts gets them again. Where that fails, so does
/// the request's next try, which says why.
void Router::teach_scripts(Link& link) {
  Exchange exchange;
  for (const auto& greeting : greetings_) exchange.bytes += greeting;
  exchange.expected = greetings_.size();
  link.submit(exchange);
  link.wait(exchange);
}

void Router::run(std::span<Request> requests) {
  const auto until = SteadyClock::now() + timeout_;
  std::vector<Attempt> attempts;
  attempts.reserve(requests.size());
  for (auto& request : requests) attempts.push_back({&request});
  auto pause = first_pause;
  for (int tries = 0;; ++tries) {
    const bool only_redirected = once(attempts);
    std::erase_if(attempts, [](const Attempt& attempt) { return !attempt.open; });
    if (attempts.empty() || SteadyClock::now() >= until) return;
    // Redirections are how a cluster tells where a key lives; more than a few in a row, and it is moving.
    if (only_redirected && tries < followed_at_once) continue;
    std::this_thread::sleep_for(jittered(pause));
    pause = std::min(pause * 2, longest_pause);
  }
}

}  // namespace onceward::redis::detail
