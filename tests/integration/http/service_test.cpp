// examples/05_http_service as a process of its own: what clients see, and what stands in its ledger, when
// they retry, come together, hang up, and when the service is killed or stopped in mid-request.
#include <onceward/idempotency/guard.hpp>
#include <onceward/storage/sqlite.hpp>

#include "support/catch.hpp"
#include "support/child_process.hpp"
#if ONCEWARD_TEST_REDIS
#include "support/redis_server.hpp"
#endif
#include "support/temporary_folder.hpp"

#include <SQLiteCpp/Database.h>
#include <SQLiteCpp/Statement.h>
#include <httplib.h>

#include <atomic>
#include <barrier>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <future>
#include <map>
#include <set>
#include <sstream>
#include <thread>

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

namespace {

constexpr auto patience = 120s;  // sanitizers on a busy machine; no test waits so long that passes

/// Waits until it holds; the pause only spares the machine.
template <class Condition>
void wait_until(const char* what, const Condition& condition) {
  for (const auto end = Clock::now() + patience; !condition(); std::this_thread::sleep_for(5ms)) {
    if (Clock::now() > end) throw std::runtime_error(std::string("waited in vain until ") + what);
  }
}

std::string text_of(const std::string& file) {
  std::ifstream in(file);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

using Words = std::vector<std::string>;

/// The service, listening. Services of one folder share the claims and the ledger, as replicas do.
class Service {
 public:
  Service(const TemporaryFolder& folder, const Words& options)
      : Service(folder, "sqlite:" + folder.file("guard.db"), options) {}
  Service(const TemporaryFolder& folder, const std::string& storage, const Words& options)
      : out_(folder.file(next_name())) {
    // exec: signals reach the service itself.
    Words words{"sh",     "-c",       R"(out="$1"; shift; exec "$@" > "$out")",
                "sh",     out_,       ONCEWARD_HTTP_SERVICE,
                "--port", "0",        "--storage",
                storage,  "--ledger", folder.file("ledger.db")};
    words.insert(words.end(), options.begin(), options.end());
    child_ = std::make_unique<ChildProcess>(words);
    wait_until("the service listens", [&] {
      if (!child_->runs()) throw std::runtime_error("the service ended: " + text_of(out_));
      const auto text = text_of(out_);
      const std::string before = "listening on http://127.0.0.1:";
      const auto at = text.find(before);
      if (at == std::string::npos || text.find('\n', at) == std::string::npos) return false;
      port_ = std::stoi(text.substr(at + before.size()));
      return true;
    });
  }
  [[nodiscard]] int port() const { return port_; }
  [[nodiscard]] std::string output() const { return text_of(out_); }
  ChildProcess& process() { return *child_; }

 private:
  static std::string next_name() {
    static std::atomic<int> count = 0;
    return "out" + std::to_string(++count);
  }
  std::string out_;
  std::unique_ptr<ChildProcess> child_;
  int port_ = 0;
};

/// A response as a client sees it; status 0 where none came.
struct Seen {
  int status = 0;
  std::string body;
  std::string type;
  std::string location;
  std::string retry_after;
  bool replayed = false;

  /// All that the application said; the mark of a replay is not its.
  [[nodiscard]] bool same_as(const Seen& other) const {
    return status == other.status && body == other.body && type == other.type && location == other.location;
  }
};

Seen send(int port, const httplib::Headers& headers, const std::string& body,
          std::chrono::milliseconds wait = patience) {
  httplib::Client client("127.0.0.1", port);
  client.set_read_timeout(wait);
  const auto result = client.Post("/payments", headers, body, "application/json");
  if (!result) return {.status = 0, .body = "no response: " + httplib::to_string(result.error())};
  return {result->status,
          result->body,
          result->get_header_value("Content-Type"),
          result->get_header_value("Location"),
          result->get_header_value("Retry-After"),
          result->has_header("Idempotency-Replayed")};
}

std::string order(int pence, const std::string& account = "ann") {
  return R"({"merchant":"tea","account":")" + account + R"(","pence":)" + std::to_string(pence) + "}";
}

Seen pay(int port, const std::string& key, int pence = 450, std::chrono::milliseconds wait = patience) {
  return send(port, {{"Idempotency-Key", "\"" + key + "\""}}, order(pence), wait);
}

/// A client that does what Retry-After says, as often as it is told.
Seen pay_until_answered(int port, const std::string& key, int pence = 450) {
  const auto end = Clock::now() + patience;
  while (true) {
    const auto seen = pay(port, key, pence);
    if (seen.retry_after.empty()) return seen;
    if (Clock::now() > end) throw std::runtime_error("told to retry without end: " + seen.body);
    std::this_thread::sleep_for(std::chrono::seconds(std::stoi(seen.retry_after)));
  }
}

/// What the business has in its books, read past the service.
struct Books {
  int charges = 0;
  int spent = 0;
};
Books books(const TemporaryFolder& folder) {
  const SQLite::Database database(folder.file("ledger.db"), SQLite::OPEN_READONLY, 10'000);
  SQLite::Statement charges(database, "SELECT count(*) FROM charge");
  SQLite::Statement spent(database, "SELECT coalesce(sum(spent), 0) FROM account");
  charges.executeStep(), spent.executeStep();
  return {charges.getColumn(0).getInt(), spent.getColumn(0).getInt()};
}

/// Whether a request with this key is being worked on, read past the service: a request of ours that asked
/// would take part in the race.
bool is_claimed(const TemporaryFolder& folder, const std::string& key) {
  const auto storage = onceward::sqlite::open(folder.file("guard.db")).value();
  const auto name = "tea:" + key;
  return onceward::read_one(*storage, onceward::guard_partition("payments", name), name).value().has_value();
}

}  // namespace

TEST_CASE("a retry gets the same response byte for byte, and nothing is charged again") {
  const TemporaryFolder folder;
  Service service(folder, {});
  const auto first = pay(service.port(), "a");
  CHECK(first.status == 201);
  CHECK(first.body == R"({"account":"ann","id":1,"pence":450,"spent":450})");
  CHECK(first.location == "/payments/1");
  CHECK_FALSE(first.replayed);
  CHECK(pay(service.port(), "b").body == R"({"account":"ann","id":2,"pence":450,"spent":900})");
  for (int retry = 0; retry < 3; ++retry) {
    const auto again = pay(service.port(), "a");
    CHECK(again.same_as(first));
    CHECK(again.replayed);
  }
  // As many clients send it: the same key without quotes.
  CHECK(send(service.port(), {{"Idempotency-Key", "a"}}, order(450)).same_as(first));
  CHECK(books(folder).charges == 2);
  CHECK(books(folder).spent == 900);
}

TEST_CASE("a refusal of the business is an answer too: it is stored and given again") {
  const TemporaryFolder folder;
  Service service(folder, {});
  CHECK(pay(service.port(), "a", 600'000).status == 201);
  const auto refused = pay(service.port(), "b", 600'000);
  CHECK(refused.status == 402);
  const auto again = pay(service.port(), "b", 600'000);
  CHECK(again.same_as(refused));
  CHECK(again.replayed);
  CHECK(books(folder).charges == 1);
  CHECK(books(folder).spent == 600'000);
}

TEST_CASE("a request without a usable key, or with another payload, charges nothing") {
  const TemporaryFolder folder;
  Service service(folder, {});
  const int port = service.port();
  REQUIRE(pay(port, "a", 450).status == 201);
  const auto reused = pay(port, "a", 451);
  CHECK(reused.status == 422);
  CHECK(reused.type == "application/problem+json");
  CHECK(reused.retry_after.empty());
  CHECK(reused.body.find("450") == std::string::npos);  // nothing of the first one is told

  const std::map<std::string, httplib::Headers> bad{
      {"key-missing", {}},
      {"key-empty", {{"Idempotency-Key", "\"\""}}},
      {"key-repeated", {{"Idempotency-Key", "\"x\""}, {"Idempotency-Key", "\"y\""}}},
      {"key-too-long", {{"Idempotency-Key", std::string(101, 'k')}}},
      // The library decodes %XX in headers: these are the bytes CR, LF and 0xFF.
      {"key-malformed", {{"Idempotency-Key", "\"%0d%0aSet-Cookie: a%ff\""}}}};
  for (const auto& [problem, headers] : bad) {
    INFO(problem);
    const auto seen = send(port, headers, order(450));
    CHECK(seen.status == 400);
    CHECK(seen.type == "application/problem+json");
    CHECK(seen.body.find("urn:onceward:problem:" + problem + "\"") != std::string::npos);
  }
  for (const std::string& body : {std::string(), std::string("{"), order(0), order(1, ""), order(1, "\xff"),
                                  order(1, std::string(65, 'a')), std::string(R"({"merchant":"tea"})")}) {
    INFO(body);
    CHECK(send(port, {{"Idempotency-Key", "\"z\""}}, body).status == 400);
  }
  CHECK(send(port, {{"Idempotency-Key", "\"z\""}}, std::string(70'000, ' ')).status == 413);
  CHECK(pay(port, "z").status == 201);  // the key of a request that was refused before it ran is free
  CHECK(books(folder).charges == 2);
}

TEST_CASE(
    "of 32 duplicates at once one is charged; the others get its response, or 409 and when to ask again") {
  const TemporaryFolder folder;
  Service service(folder, {"--slow-ms", "300", "--threads", "40"});
  constexpr int callers = 32;
  std::barrier together(callers);
  std::vector<std::future<std::pair<Seen, Seen>>> calls;
  for (int i = 0; i < callers; ++i) {
    calls.push_back(std::async(std::launch::async, [&] {
      together.arrive_and_wait();
      const auto first = pay(service.port(), "same");
      return std::pair(first, pay_until_answered(service.port(), "same"));
    }));
  }
  std::set<std::string> bodies;
  int executed = 0, rejected = 0;
  for (auto& call : calls) {
    const auto [first, last] = call.get();
    INFO(first.body);
    CHECK((first.status == 201 || first.status == 409));
    if (first.status == 201 && !first.replayed) ++executed;
    if (first.status == 409) {
      ++rejected;
      CHECK(std::stoi(first.retry_after) >= 1);
      CHECK(first.type == "application/problem+json");
    }
    CHECK(last.status == 201);
    CHECK(last.replayed);
    bodies.insert(last.body);
  }
  CHECK(executed == 1);
  CHECK(rejected > 0);  // the charge takes 300 ms: they do meet
  CHECK(bodies.size() == 1);
  CHECK(books(folder).charges == 1);
  CHECK(books(folder).spent == 450);
}

TEST_CASE("a client that hangs up before its answer gets it when it asks again") {
  const TemporaryFolder folder;
  Service service(folder, {"--slow-ms", "700", "--slow-at", "after"});
  CHECK(pay(service.port(), "a", 450, 100ms).status == 0);
  const auto seen = pay_until_answered(service.port(), "a");
  CHECK(seen.status == 201);
  CHECK(seen.replayed);
  CHECK(books(folder).charges == 1);
}

TEST_CASE("a service killed before it charged charges once after its restart") {
  const TemporaryFolder folder;
  {
    Service service(folder, {"--slow-ms", "3600000", "--slow-at", "before", "--lease-ms", "2000"});
    auto lost = std::async(std::launch::async, [&] { return pay(service.port(), "a"); });
    wait_until("the key is claimed", [&] { return is_claimed(folder, "a"); });
    CHECK(pay(service.port(), "a").status == 409);
    CHECK(books(folder).charges == 0);
    service.process().end(SIGKILL);
    CHECK(lost.get().status == 0);
  }
  Service service(folder, {"--lease-ms", "2000"});
  const auto seen = pay_until_answered(service.port(), "a");
  CHECK(seen.status == 201);
  CHECK_FALSE(seen.replayed);
  CHECK(pay(service.port(), "a").same_as(seen));
  CHECK(books(folder).charges == 1);
  CHECK(books(folder).spent == 450);
}

TEST_CASE("a service killed after it charged does not charge again after its restart") {
  const TemporaryFolder folder;
  {
    Service service(folder, {"--slow-ms", "3600000", "--slow-at", "after", "--lease-ms", "2000"});
    auto lost = std::async(std::launch::async, [&] { return pay(service.port(), "a"); });
    wait_until("the charge is written", [&] { return books(folder).charges == 1; });
    service.process().end(SIGKILL);
    CHECK(lost.get().status == 0);
  }
  Service service(folder, {"--lease-ms", "2000"});
  const auto seen = pay_until_answered(service.port(), "a");  // runs again, and finds the row of its key
  CHECK(seen.status == 201);
  CHECK(seen.body == R"({"account":"ann","id":1,"pence":450,"spent":450})");
  CHECK(pay(service.port(), "a").same_as(seen));
  CHECK(pay(service.port(), "a", 451).status == 422);
  CHECK(books(folder).charges == 1);
  CHECK(books(folder).spent == 450);
}

TEST_CASE(
    "a service that was stopped beyond its lease wakes up, charges nothing, and refers to the other's answer") {
  const TemporaryFolder folder;
  Service slow(folder, {"--slow-ms", "5000", "--slow-at", "before", "--lease-ms", "2000"});
  Service other(folder, {"--lease-ms", "2000"});
  auto late = std::async(std::launch::async, [&] { return pay(slow.port(), "a"); });
  wait_until("the key is claimed", [&] { return is_claimed(folder, "a"); });
  slow.process().signal(SIGSTOP);
  const auto seen = pay_until_answered(other.port(), "a");
  CHECK(seen.status == 201);
  slow.process().signal(SIGCONT);
  const auto woken = late.get();
  CHECK(woken.status == 409);
  CHECK(woken.body.find("urn:onceward:problem:superseded") != std::string::npos);
  CHECK(pay_until_answered(slow.port(), "a").same_as(seen));
  CHECK(books(folder).charges == 1);
  CHECK(books(folder).spent == 450);
}

TEST_CASE("where the guard's storage is lost, or has forgotten a key, the row of the ledger decides") {
  const TemporaryFolder folder;
  Seen first;
  {
    Service service(folder, {});
    first = pay(service.port(), "a");
    REQUIRE(first.status == 201);
    service.process().end(SIGTERM);
  }
  for (const std::string name : {"guard.db", "guard.db-wal", "guard.db-shm"})
    std::filesystem::remove(folder.file(name));
  Service service(folder, {});
  const auto again = pay(service.port(), "a");
  CHECK(again.same_as(first));
  CHECK_FALSE(again.replayed);  // it ran, and found its row
  CHECK(books(folder).charges == 1);
  CHECK(books(folder).spent == 450);
}

TEST_CASE("a key that the guard has forgotten and the ledger knows is no key for another payment") {
  const TemporaryFolder folder;
  {
    Service service(folder, {});
    REQUIRE(pay(service.port(), "a", 450).status == 201);
    service.process().end(SIGTERM);
  }
  std::filesystem::remove(folder.file("guard.db"));
  Service service(folder, {});
  CHECK(pay(service.port(), "a", 451).status == 422);
  CHECK(books(folder).charges == 1);
  CHECK(books(folder).spent == 450);
}

#if ONCEWARD_TEST_REDIS
TEST_CASE("while the guard's storage is away nothing is charged: 503 and when to ask again") {
  RedisServer redis;
  if (redis.missing()) {
    WARN("no redis-server here: skipped");
    return;
  }
  const TemporaryFolder folder;
  Service service(folder, "redis://127.0.0.1:" + std::to_string(redis.port()), {"--lease-ms", "2000"});
  const auto first = pay(service.port(), "a");
  CHECK(first.status == 201);
  CHECK(pay(service.port(), "a").same_as(first));
  redis.kill();
  for (const std::string key : {"a", "b"}) {
    const auto seen = pay(service.port(), key);
    CHECK(seen.status == 503);
    CHECK(std::stoi(seen.retry_after) >= 1);
    CHECK(seen.type == "application/problem+json");
    CHECK(seen.body.find("127.0.0.1") == std::string::npos);  // nothing of our insides is told
  }
  CHECK(books(folder).charges == 1);
  redis.start();
  CHECK(pay_until_answered(service.port(), "b").status == 201);
  CHECK(pay_until_answered(service.port(), "a").same_as(first));
  CHECK(books(folder).charges == 2);
  CHECK(books(folder).spent == 900);
}
#endif

TEST_CASE("SIGTERM lets the request in hand end, then the service says so and exits with 0") {
  const TemporaryFolder folder;
  Service service(folder, {"--slow-ms", "1000"});
  auto call = std::async(std::launch::async, [&] { return pay(service.port(), "a"); });
  wait_until("the key is claimed", [&] { return is_claimed(folder, "a"); });
  service.process().signal(SIGTERM);
  CHECK(call.get().status == 201);
  wait_until("it has ended", [&] { return !service.process().runs(); });
  CHECK(service.process().exit_code() == 0);
  CHECK(service.output().find("stopped\n") != std::string::npos);
  CHECK(books(folder).charges == 1);
}
