#include "remote.hpp"

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <stdexcept>

namespace chaos {

using namespace onceward;
using namespace std::chrono_literals;

namespace {

constexpr auto longest_wait = 25ms;

class BookStep final : public Step {
 public:
  BookStep(Remote& remote, Broken broken) : remote_(remote), broken_(broken) {}

  [[nodiscard]] StepSpec spec() const override {
    return {.name = "book@1",
            .arguments = {{"amount", Value::Kind::integer},
                          {"ref", Value::Kind::integer, false},
                          {"reject", Value::Kind::boolean, false}},
            .results = {{"receipt", Value::Kind::integer}},
            .undo = true};
  }
  StepOutcome run(StepContext& step) override {
    Request request;
    request.token = token(step);
    request.run = step.run_key();
    request.path = step.step_id();
    request.amount = step.arg<std::int64_t>("amount");
    request.reference = step.optional_arg<std::int64_t>("ref").value_or(0);
    request.reject = step.optional_arg<bool>("reject").value_or(false);
    return outcome_of(remote_.ask(request));
  }
  StepOutcome undo(StepContext& step) override {
    if (broken_ == Broken::undo) return Done{};
    Request request;
    request.undo = true;
    request.token = token(step);
    request.done_token = step.done_token();
    request.run = step.run_key();
    request.path = step.step_id();
    const auto* receipt = step.result() == nullptr ? nullptr : step.result()->find("receipt");
    request.reference = receipt == nullptr ? 0 : *receipt->integer();
    return outcome_of(remote_.ask(request));
  }

 private:
  [[nodiscard]] std::string token(const StepContext& step) const {
    return std::string(step.token()) +
           (broken_ == Broken::tokens ? "#" + std::to_string(step.attempt()) : "");
  }
  static StepOutcome outcome_of(const std::string& line) {
    if (line.empty()) return Unknown{"no answer"};
    if (line.starts_with("ok\t")) return Done{Map{{"receipt", std::int64_t{std::stoll(line.substr(3))}}}};
    if (line == "down") return Retry{"the downstream is down"};
    if (line == "accepted") return Park{10ms};
    if (line == "rejected") return Reject{"closed", "the downstream rejects it"};
    return Reject{"wrong", "the downstream complains"};
  }

  Remote& remote_;
  Broken broken_;
};

}  // namespace

std::unique_ptr<Step> book_step(Remote& remote, Broken broken) {
  return std::make_unique<BookStep>(remote, broken);
}

Remote::~Remote() {
  for (const int socket : idle_) ::close(socket);
}

int Remote::connect() const {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path_.copy(address.sun_path, sizeof address.sun_path - 1);
  const int socket = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (socket < 0) throw std::runtime_error("no socket is left");
  const timeval wait{0, longest_wait / 1us};
  ::setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
  if (::connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return socket;
  ::close(socket);
  return -1;
}

std::string Remote::ask(const Request& request) {
  int socket = -1;
  {
    const std::lock_guard lock(mutex_);
    if (!idle_.empty()) {
      socket = idle_.back();
      idle_.pop_back();
    }
  }
  if (socket < 0) socket = connect();
  if (socket < 0) return "down";  // nothing was sent
  const auto line = request.line();
  std::string answer;
  if (::send(socket, line.data(), line.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(line.size())) {
    std::array<char, 256> buffer{};
    const auto count = ::read(socket, buffer.data(), buffer.size());
    // An answer is one short write.
    if (count > 0 && buffer[static_cast<std::size_t>(count) - 1] == '\n')
      answer.assign(buffer.data(), static_cast<std::size_t>(count) - 1);
  }
  if (answer.empty()) {
    ::close(socket);  // its answer may come yet, and would be taken for another one's
  } else {
    const std::lock_guard lock(mutex_);
    idle_.push_back(socket);
  }
  return answer;
}

}  // namespace chaos
