// Four processes share one storage, are killed at random, and are sent every event up to three times,
// shuffled.
#include "unit/task/support.hpp"

#include <onceward/storage/open.hpp>

#include "support/catch.hpp"
#include "support/forked.hpp"
#include "support/mariadb_server.hpp"
#include "support/redis_server.hpp"
#include "support/temporary_folder.hpp"

#include <random>
#include <set>

using namespace task_test;

namespace {

const std::string tasks =
    "<task id='count'><on event='paid'/>" + stage(5, 1) + stage(20, 2) + "</task>" +
    "<task id='claw' on-refund='clawback'><on event='paid' add='event.n'/>"
    "<stage target='60' pipeline='grant' take-back='take'><arg name='points' value='10'/></stage></task>" +
    "<task id='few'><on event='paid' when='event.n &gt;= 6'/>" + stage(1, 1) + "<quota limit='5'/></task>" +
    "<task id='invite'><on event='joined' credit='event.inviter' distinct='user'/>" + stage(3, 9) +
    "</task>" + "<task id='habit'><on event='came' streak='day' freeze='1'/>" + stage(4, 4) + "</task>" +
    "<task id='team' group='event.team' members='4'><on event='cheered'/>" + stage(6, 6) + "</task>" +
    "<task id='soon' claim='manual' within='24h'><on event='ran'/>" + stage(3, 3) + "</task>" +
    "<task id='brief' claim='manual' within='1s'><on event='never'/>" + stage(1, 7) +
    "<quota limit='12' at='claim'/></task>" + "<task id='read' complete='manual'><on event='never'/>" +
    stage(2, 8) + "</task>";
constexpr int users = 12;
constexpr int processes = 4;

/// The downstream of all processes: a record for each token, in the storage they share.
class Remote final : public Step {
 public:
  explicit Remote(Storage& storage) : storage_(storage) {}
  [[nodiscard]] StepSpec spec() const override {
    return {.name = "grant-points@1",
            .arguments = {{"user", Value::Kind::string}, {"amount", Value::Kind::integer}}};
  }
  StepOutcome run(StepContext& step) override {
    const auto line = std::string(step.run_key()) + "=" + std::to_string(step.arg<int>("amount"));
    const auto written =
        commit_one(storage_, {"remote", {Operation::insert(std::string(step.token()), line)}});
    if (!written) return Unknown{describe(written.error())};
    return Done{};
  }

 private:
  Storage& storage_;
};

struct Process {
  std::unique_ptr<Storage> storage;
  StepRegistry registry;
  PlanCatalog catalog;
  std::unique_ptr<Runner> runner;
  std::unique_ptr<TaskCenter> center;

  explicit Process(const std::string& url) : storage(open_storage(url).value()) {
    registry.add(std::make_unique<Remote>(*storage)).value();
    const Duration lease = std::chrono::milliseconds(300);
    runner = std::make_unique<Runner>(*storage, catalog, RunnerOptions{.lease = lease});
    center = std::make_unique<TaskCenter>(*storage, catalog, *runner, TaskCenterOptions{.lease = lease});
    const Shop office;
    const auto definition = office.campaign(tasks).definition();
    center->publish(Campaign::compile(definition, registry).value()).value();
  }
  /// Asks until there is an answer, as whoever got none does.
  template <class Ask>
  static void ask(const Ask& request) {
    for (;;) {
      const Result<Reply> reply = request();
      if (reply && reply->outcome == Reply::Outcome::done) return;
      if (reply) throw std::runtime_error("refused: " + std::string(to_string(reply->outcome)));
      if (retry_advice(reply.error().code) == RetryAdvice::give_up)
        throw std::runtime_error(describe(reply.error()));
    }
  }
  void complete(const std::string& user) {
    ask([&] { return center->complete({"shop", user, "read", "read-" + user}); });
  }
  /// Reports until everything is answered; what could not be is sent again.
  void report(std::vector<Event> events) {
    while (!events.empty()) {
      std::vector<Event> again;
      for (std::size_t first = 0; first < events.size(); first += 16) {
        const auto some = std::span(events).subspan(first, std::min<std::size_t>(16, events.size() - first));
        const auto answers = center->report_many(some);
        for (std::size_t i = 0; i < some.size(); ++i) {
          if (answers[i]) continue;
          if (retry_advice(answers[i].error().code) == RetryAdvice::give_up)
            throw std::runtime_error(describe(answers[i].error()));
          again.push_back(some[i]);
        }
        (void)center->work(64);
        complete("u" + std::to_string(first / 16 % users));
      }
      events = std::move(again);
    }
  }
  void settle() {
    for (int quiet = 0; quiet < 3;) {
      const auto report = center->work();
      // A deadline of tomorrow is none of today's.
      const bool soon = report && report->next_in && *report->next_in < std::chrono::minutes(1);
      if (report && report->taken == 0 && !soon) {
        ++quiet;
        continue;
      }
      quiet = 0;
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
  }
};

struct History {
  std::vector<Event> events;
  std::set<std::string> keep;       ///< lines of rewards that are due once
  std::map<std::string, int> claw;  ///< user -> what he has in the end
  std::size_t few = 0;

  explicit History(unsigned seed) {
    std::mt19937 random(seed);
    std::map<std::string, int> counts;
    std::map<std::string, int> sums;
    std::set<std::string> large;
    int id = 0;
    for (int i = 0; i < 260; ++i) {
      const auto user = "u" + std::to_string(random() % users);
      const auto n = static_cast<int>(random() % 7) + 1;
      Event event{"shop", "e" + std::to_string(++id), user, "paid", at("2024-03-10T12:00:00Z"), {{"n", n}}};
      events.push_back(event);
      int left = n;
      if (random() % 4 == 0) {
        Event part{"shop", "r" + std::to_string(id), user, "refunded", event.at};
        part.reverses = event.id;
        part.amount = static_cast<std::int64_t>(random() % 5) + 1;
        left = std::max(0, n - static_cast<int>(*part.amount));
        events.push_back(part);
      }
      sums[user] += left;
      if (++counts[user] == 5) keep.insert(user + "/count/-/1=1");
      if (counts[user] == 20) keep.insert(user + "/count/-/2=2");
      if (n >= 6) large.insert(user);
    }
    for (int i = 0; i < users; ++i) {
      const auto inviter = "u" + std::to_string(i % 4);
      events.push_back({"shop",
                        "j" + std::to_string(i),
                        "new" + std::to_string(i),
                        "joined",
                        at("2024-03-10T12:00:00Z"),
                        {{"inviter", inviter}}});
      keep.insert(inviter + "/invite/-/1=9");
    }
    for (const auto& [user, sum] : sums) claw[user] = sum >= 60 ? 10 : 0;
    add_days(random);
    add_teams(random);
    add_runs(random);
    for (int i = 0; i < users; ++i) keep.insert("u" + std::to_string(i) + "/read/-/1=8");
    few = std::min<std::size_t>(5, large.size());
  }

 private:
  void add(const std::string& id, const std::string& user, const std::string& type, std::chrono::hours after,
           Map attributes = {}) {
    const auto begin = at("2024-03-10T00:00:00Z");
    events.push_back({"shop", id, user, type, begin + after, std::move(attributes)});
  }
  /// Days of a streak that forgives one: due where any four of five in a row are there.
  void add_days(std::mt19937& random) {
    for (int i = 0; i < users; ++i) {
      const auto user = "u" + std::to_string(i);
      std::set<int> days;
      for (int n = 0; n < 7; ++n) days.insert(static_cast<int>(random() % 14));
      for (const auto day : days) add("d" + std::to_string(day), user, "came", std::chrono::hours(24 * day));
      for (int first = 0; first < 14; ++first) {
        int there = 0;
        for (int day = first; day < first + 5; ++day) there += static_cast<int>(days.count(day));
        if (there >= 4) keep.insert(user + "/habit/-/1=4");
      }
    }
  }
  /// Teams of four: due to each who cheered, in a team that did so six times.
  void add_teams(std::mt19937& random) {
    for (int team = 0; team < users / 4; ++team) {
      std::set<std::string> members;
      int cheers = 0;
      for (int member = 0; member < 4; ++member) {
        const auto user = "u" + std::to_string(team * 4 + member);
        for (auto n = random() % 4; n > 0; --n, ++cheers) {
          add("c" + std::to_string(n), user, "cheered", std::chrono::hours(1),
              {{"team", "team" + std::to_string(team)}});
          members.insert(user);
        }
      }
      for (const auto& user : members)
        if (cheers >= 6) keep.insert(user + "/team/-/1=6");
    }
  }
  /// Three runs within a day of the claim: what comes after it does not count.
  void add_runs(std::mt19937& random) {
    for (int i = 0; i < users; ++i) {
      const auto user = "u" + std::to_string(i);
      int in_time = 0;
      for (int n = 0; n < 5; ++n) {
        const auto hour = static_cast<int>(random() % 40);
        add("run" + std::to_string(n), user, "ran", std::chrono::hours(hour));
        in_time += hour < 24 ? 1 : 0;
      }
      if (in_time >= 3) keep.insert(user + "/soon/-/1=3");
    }
  }
};

void check_chaos(const std::string& url, unsigned seed) {
  INFO(url << ", seed " << seed);
  const History history(seed);
  std::mt19937 random(seed);
  std::vector<std::vector<Event>> parts(processes);
  for (const auto& event : history.events) {
    for (auto times = 1 + random() % 3; times > 0; --times) parts[random() % processes].push_back(event);
  }
  for (auto& part : parts) std::shuffle(part.begin(), part.end(), random);
  {
    const Process founder(url);
    for (int i = 0; i < users; ++i) {
      const auto user = "u" + std::to_string(i);
      Request soon{"shop", user, "soon", "soon"};
      soon.at = at("2024-03-10T00:00:00Z");
      Process::ask([&] { return founder.center->claim(soon); });
      Process::ask([&] { return founder.center->claim({"shop", user, "brief", "brief"}); });
    }
  }
  std::vector<std::unique_ptr<Forked>> children;
  std::vector<bool> ended(processes);
  const auto start = [&](int which) {
    return std::make_unique<Forked>([&, which] {
      Process process(url);
      process.report(parts[static_cast<std::size_t>(which)]);
      for (int user = 0; user < users; ++user) process.complete("u" + std::to_string(user));
      return 0;
    });
  };
  for (int i = 0; i < processes; ++i) children.push_back(start(i));
  // A killed process is started anew and sends all of its events again.
  for (int kills = 0; kills < 24; ++kills) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20 + random() % 60));
    const auto which = static_cast<int>(random() % processes);
    auto& child = children[static_cast<std::size_t>(which)];
    child->kill();
    (void)child->wait();
    child = start(which);
  }
  for (auto& child : children) REQUIRE(child->wait() == 0);
  Process last(url);
  last.settle();
  std::multiset<std::string> keep;
  std::map<std::string, int> claw;
  std::set<std::string> few;
  for (std::string cursor;;) {
    const auto page = last.storage->scan("remote", "", cursor, 1000).value();
    for (const auto& record : page.records) {
      const auto equals = record.value.find('=');
      const auto grant = parse_run_key(std::string_view(record.value).substr(0, equals)).value();
      const auto line =
          grant.user + "/" + grant.task + "/-/" + std::to_string(grant.stage) + record.value.substr(equals);
      if (grant.task == "claw") {
        claw[grant.user] += std::stoi(record.value.substr(equals + 1));
      } else if (grant.task == "few") {
        CHECK(few.insert(grant.user).second);
      } else {
        keep.insert(line);
      }
    }
    cursor = page.cursor;
    if (cursor.empty()) break;
  }
  CHECK(keep == std::multiset<std::string>(history.keep.begin(), history.keep.end()));
  for (const auto& [user, balance] : history.claw) CHECK(claw[user] == balance);
  CHECK(few.size() == history.few);
  for (int i = 0; i < users; ++i) {
    const auto user = "u" + std::to_string(i);
    CHECK(last.storage->scan("shop/user/" + user, "todo/", "", 10).value().records.empty());
    // Nobody finished it in its second: the timers ran, and every unit is back.
    CHECK(last.center->instance("shop", user, "brief", "-").value().value().status == Status::expired);
  }
  CHECK(read_one(*last.storage, "shop/quota/brief", "count/-").value().value().value == "0");
}

}  // namespace

TEST_CASE("chaos on SQLite: nothing lost, nothing twice") {
  for (unsigned seed = 1; seed <= 2; ++seed) {
    const TemporaryFolder folder;
    check_chaos("sqlite:" + folder.path() + "/chaos.db", seed);
  }
}

TEST_CASE("chaos on Redis: nothing lost, nothing twice") {
  const RedisServer server;
  if (server.missing()) return;
  check_chaos("redis://127.0.0.1:" + std::to_string(server.port()), 3);
}

TEST_CASE("chaos on MariaDB: nothing lost, nothing twice") {
  const MariadbServer server;
  if (server.missing()) return;
  check_chaos("mysql://onceward:secret@127.0.0.1:" + std::to_string(server.port()) + "/onceward", 4);
}
