// A payment service over HTTP: a guarded charge that retries, duplicates and crashes never make twice.
#include "ledger.hpp"
#include "options.hpp"

#include <onceward/expr/convert.hpp>
#include <onceward/idempotency/http.hpp>
#include <onceward/idempotency/idempotent.hpp>
#include <onceward/storage/open.hpp>

#include <fmt/format.h>
#include <httplib.h>
#include <pthread.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <thread>

namespace {

using namespace payments;
namespace http = onceward::http;

constexpr std::size_t most_body_bytes = 64 * 1024;
constexpr std::size_t most_name_bytes = 64;

/// The body of a request. A real service takes the merchant from who is logged in, never from the body.
struct Order {
  std::string merchant;
  std::string account;
  std::int64_t pence = 0;
};
struct ChargeView {
  std::int64_t id;
  std::string account;
  std::int64_t pence;
  std::int64_t spent;
};

http::Response problem(int status, std::string title, std::string detail) {
  return http::answer(http::Problem{status, {}, "about:blank", std::move(title), std::move(detail)});
}

onceward::Result<Order> read_order(const std::string& body) {
  Order order;
  const auto json = onceward::Value::from_json(body);
  if (!json) return onceward::fail(json.error().code, "the body is no JSON: " + json.error().message);
  if (auto read = onceward::from_value(*json, order); !read)
    return onceward::fail(read.error().code, read.error().message);
  for (const auto* name : {&order.merchant, &order.account}) {
    if (name->empty() || name->size() > most_name_bytes)
      return onceward::fail(onceward::ErrorCode::invalid_argument,
                            "merchant and account are 1 to 64 bytes long");
  }
  if (order.pence < 1 || order.pence > Ledger::limit_pence)
    return onceward::fail(onceward::ErrorCode::invalid_argument,
                          fmt::format("pence is a whole number from 1 to {}", Ledger::limit_pence));
  return order;
}

/// The guarded work: what it returns is stored and is the answer to every request with the key.
http::Response charge(Ledger& ledger, const Options& options, const Payment& payment) {
  if (options.slow_at == SlowAt::before) std::this_thread::sleep_for(options.slow);
  const auto made = ledger.charge(payment);
  if (options.slow_at == SlowAt::after) std::this_thread::sleep_for(options.slow);
  if (!made)
    return problem(402, "Payment Required", "the account has reached its limit; nothing was charged");
  if (made->account != payment.account || made->pence != payment.pence)
    return http::answer(onceward::Outcome<http::Response>(onceward::Verdict::key_reused));
  const ChargeView view{made->id, made->account, made->pence, made->spent};
  return {201,
          {{"Content-Type", "application/json"}, {"Location", fmt::format("/payments/{}", made->id)}},
          onceward::to_value(view).to_json()};
}

http::KeyHeader key_of(const httplib::Request& request) {
  std::vector<std::string> values(request.get_header_value_count("Idempotency-Key"));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = request.get_header_value("Idempotency-Key", i);
  const std::vector<std::string_view> lines(values.begin(), values.end());
  // So short that merchant and key, escaped, fit the guard's key of 512 bytes.
  return http::read_key(lines, {.accept_unquoted = true, .bytes_max = 100});
}

void send(const http::Response& from, httplib::Response& to) {
  to.status = from.status;
  std::string type = "text/plain";
  for (const auto& [name, value] : from.headers) {
    if (name == "Content-Type") {
      type = value;
    } else {
      to.set_header(name.c_str(), value);
    }
  }
  to.set_content(from.body, type.c_str());
}

/// Binds a port, and gives it; -1 where that fails.
int bind(httplib::Server& server, const Options& options) {
  int handle = -1;
  server.set_socket_options([&](socket_t made) {
    // Not httplib's own choice, SO_REUSEPORT: it would let two services share one port unnoticed.
    const int yes = 1;
    ::setsockopt(made, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    handle = made;
  });
  int port = options.port;
  if (port == 0) {
    port = server.bind_to_any_port(options.host);
  } else if (!server.bind_to_port(options.host, port)) {
    port = -1;
  }
  server.set_socket_options([](socket_t) {});
  // httplib lets 5 connections wait to be accepted; those of a burst beyond that would be dropped.
  if (port >= 0 && ::listen(handle, SOMAXCONN) != 0) port = -1;
  return port;
}

int serve(const Options& options) {
  // Blocked before there is a second thread, so in all of them, and taken by one of ours: it may then do what
  // no signal handler may.
  sigset_t ends;
  sigemptyset(&ends);
  sigaddset(&ends, SIGTERM);
  sigaddset(&ends, SIGINT);
  pthread_sigmask(SIG_BLOCK, &ends, nullptr);

  auto storage = onceward::open_storage(options.storage);
  if (!storage) {
    fmt::print(stderr, "05_http_service: --storage: {}\n", describe(storage.error()));
    return 2;
  }
  Ledger ledger(options.ledger);
  const auto pay = onceward::idempotent<Payment>(
      **storage, "#{merchant}:#{key}",
      {.operation = "payments", .lease = options.lease, .retention = std::chrono::hours(24 * 30)},
      [&](const Payment& payment) { return charge(ledger, options, payment); });
  const http::AnswerRules rules{.retry_after = std::chrono::seconds(2), .mark_replays = true};

  httplib::Server server;
  server.new_task_queue = [&] { return new httplib::ThreadPool(static_cast<std::size_t>(options.threads)); };
  server.set_payload_max_length(most_body_bytes);
  server.set_keep_alive_timeout(1);
  server.set_tcp_nodelay(true);
  server.Post("/payments", [&](const httplib::Request& request, httplib::Response& response) {
    const auto key = key_of(request);
    if (!key) return send(http::answer(http::problem_of(key)), response);
    const auto order = read_order(request.body);
    if (!order) return send(problem(400, "Bad Request", order.error().message), response);
    send(http::answer(pay({key.key, order->merchant, order->account, order->pence}), rules), response);
  });
  server.set_exception_handler(
      [&](const auto&, httplib::Response& response, const std::exception_ptr& thrown) {
        try {
          std::rethrow_exception(thrown);
        } catch (const std::exception& error) {  // the ledger's: the key is given back, a retry is safe
          fmt::print(stderr, "05_http_service: {}\n", error.what());
          const onceward::Error unavailable{onceward::ErrorCode::unavailable, "the ledger failed"};
          send(http::answer(*http::problem_of(onceward::Verdict::executed, false, &unavailable, {}, rules)),
               response);
        }
      });

  const int port = bind(server, options);
  if (port < 0) {
    fmt::print(stderr, "05_http_service: cannot listen on {}:{}; try --port 0\n", options.host, options.port);
    return 2;
  }
  std::atomic<bool> ended = false;
  std::jthread stopper([&] {
    int number = 0;
    sigwait(&ends, &number);
    while (!server.is_running() && !ended) std::this_thread::yield();  // stop() before that is not heard
    server.stop();
  });
  fmt::print(
      "payments: POST http://{0}:{1}/payments, keys in {2}, charges in {3}\nlistening on http://{0}:{1}\n",
      options.host, port, options.storage, options.ledger);
  std::fflush(stdout);
  const bool clean = server.listen_after_bind();
  ended = true;
  ::kill(::getpid(), SIGTERM);  // where listening ended by itself
  stopper.join();
  fmt::print("stopped\n");
  return clean ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  const auto options = parse_options({argv + (argc > 0 ? 1 : 0), argv + argc});
  if (!options) {
    fmt::print(stderr, "05_http_service: {}\n", options.error().message);
    return 2;
  }
  if (options->help) {
    fmt::print("{}", help_text());
    return 0;
  }
  try {
    return serve(*options);
  } catch (const std::exception& error) {  // the ledger cannot be opened
    fmt::print(stderr, "05_http_service: --ledger {}: {}\n", options->ledger, error.what());
    return 2;
  }
}
