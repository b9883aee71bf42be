#include "supervisor.hpp"

#include "scenario.hpp"

#include "support/child_process.hpp"
#include "support/mariadb_server.hpp"
#include "support/redis_server.hpp"
#include "support/temporary_folder.hpp"

#include <onceward/pipeline/health.hpp>
#include <onceward/storage/open.hpp>

#include <fmt/format.h>

#include <deque>

namespace chaos {

using namespace onceward;
using namespace std::chrono_literals;

namespace {

using Clock = std::chrono::steady_clock;

constexpr auto look_every = 250ms;
constexpr auto examine_every = 3s;
constexpr std::size_t most_open = 64;  ///< that one look reads
constexpr unsigned stops_of_strikes = 12;

/// The server of a storage, where it has one, and the storage's URL.
struct Place {
  explicit Place(Backend backend) {
    switch (backend) {
      case Backend::sqlite: url = "sqlite:" + folder.file("runs.db"); break;
      case Backend::redis:
        redis.emplace();
        missing = redis->missing();
        url = fmt::format("redis://127.0.0.1:{}?unsafe=accept", redis->port());
        break;
      case Backend::mariadb:
        mariadb.emplace();
        missing = mariadb->missing();
        url = fmt::format("mysql://onceward:secret@127.0.0.1:{}/onceward", mariadb->port());
        break;
    }
  }
  TemporaryFolder folder;
  std::optional<RedisServer> redis;
  std::optional<MariadbServer> mariadb;
  std::string url;
  bool missing = false;
};

/// The worker processes, and what happens to them.
class Herd {
 public:
  Herd(const Options& options, const Place& place, Report& report)
      : options_(options), place_(place), report_(report), random_(options.seed) {
    for (int i = 0; i < workers; ++i) herd_.push_back(start(i));
  }

  /// Kills a worker and starts another, or stops one for longer than a lease; and lets go on what was
  /// stopped.
  void tend() {
    const auto now = Clock::now();
    for (std::size_t i = 0; i < herd_.size(); ++i) {
      if (stopped_[i] != Clock::time_point() && now >= stopped_[i]) {
        herd_[i]->signal(SIGCONT);
        stopped_[i] = {};
      }
      if (herd_[i]->runs()) continue;
      report_.violations.push_back({"worker", std::to_string(i), "ended by itself"});
      herd_[i] = start(static_cast<int>(i));
    }
    if (now < next_) return;
    next_ = now + std::chrono::milliseconds(50 + random_() % 451);
    const auto which = random_() % herd_.size();
    if (random_() % stops_of_strikes == 0) {
      herd_[which]->signal(SIGSTOP);
      stopped_[which] = now + lease + lease / 2;
      ++report_.stops;
      return;
    }
    herd_[which]->end(SIGKILL);
    stopped_[which] = {};
    ++report_.kills;
    herd_[which] = start(static_cast<int>(which));
  }

 private:
  [[nodiscard]] std::unique_ptr<ChildProcess> start(int worker) const {
    static constexpr std::array<const char*, 3> broken = {"nothing", "tokens", "undo"};
    return std::make_unique<ChildProcess>(
        std::vector<std::string>{"/proc/self/exe", "--worker", std::to_string(worker), "--url", place_.url,
                                 "--folder", place_.folder.path(), "--runs", std::to_string(options_.runs),
                                 "--break", broken[static_cast<std::size_t>(options_.broken)]});
  }

  const Options& options_;
  const Place& place_;
  Report& report_;
  std::mt19937 random_;
  std::vector<std::unique_ptr<ChildProcess>> herd_;
  std::array<Clock::time_point, workers> stopped_{};
  Clock::time_point next_{};
};

Result<std::optional<RunView>> look(Runner& runner, int number) {
  const auto name = name_of(number);
  return runner.find(name.pipeline, name.partition, name.key);
}

/// Drops runs that have ended, until it meets many that have not.
void drop_ended(Runner& runner, std::deque<int>& open) {
  std::deque<int> still;
  while (!open.empty() && still.size() < most_open) {
    const auto view = look(runner, open.front());
    if (!view || !*view || (*view)->state == RunState::running) still.push_back(open.front());
    open.pop_front();
  }
  open.insert(open.begin(), still.begin(), still.end());
}

/// At any time every unfinished run has a due time or awaits a signal [pipeline-70], and every record is one.
void examine(Storage& storage, Report& report) {
  // A plan is unknown to a catalog without any: that is not asked here.
  const auto health = check_health(storage, PlanCatalog());
  if (!health) return;  // a storage that is busy is looked at again
  ++report.examinations;
  for (const auto& run : health->stuck_runs)
    report.violations.push_back({"health", run.key, "is neither due nor awaits a signal"});
  for (const auto& record : health->corrupt_records)
    report.violations.push_back({"health", record, "is corrupt"});
}

void judge(const Downstream& downstream, Runner& runner, const Options& options, Report& report) {
  std::vector<Outcome> outcomes;
  for (int n = 0; n < options.runs; ++n) {
    outcomes.push_back({n, look(runner, n).value()});
    const auto& view = outcomes.back().view;
    ++report.states[view ? std::string(to_string(view->state)) : "absent"];
  }
  const auto& books = downstream.books();
  for (const auto& effect : books.effects())
    ++(!effect.undo ? report.effects : effect.nothing ? report.undos_of_nothing : report.undos);
  report.repeated = books.repeated();
  report.downstream = downstream.counts();
  for (const auto& complaint : books.complaints())
    report.violations.push_back({"downstream", "-", complaint});
  const auto found = check(outcomes, books.effects());
  report.violations.insert(report.violations.end(), found.begin(), found.end());
}

}  // namespace

Report unleash(const Options& options) {
  Report report;
  const Place place(options.backend);
  report.missing = place.missing;
  if (report.missing) return report;
  const auto storage = open_storage(place.url).value();
  Downstream downstream(Job{.folder = place.folder.path()}.socket(), options.seed);
  const PlanCatalog nothing;
  Runner runner(*storage, nothing);
  std::deque<int> open;
  for (int n = 0; n < options.runs; ++n) open.push_back(n);
  const auto start = Clock::now();
  {
    Herd herd(options, place, report);
    auto examined = start;
    for (auto next = start; !open.empty() && Clock::now() - start < options.limit;) {
      herd.tend();
      if (Clock::now() >= next) {
        drop_ended(runner, open);
        next = Clock::now() + look_every;
      }
      if (Clock::now() - examined > examine_every) {
        examine(*storage, report);
        examined = Clock::now();
      }
      std::this_thread::sleep_for(2ms);
    }
    report.length = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - start);
  }
  downstream.stop();
  examine(*storage, report);
  judge(downstream, runner, options, report);
  return report;
}

}  // namespace chaos
