#include "supervisor.hpp"

#include "asks.hpp"
#include "backend.hpp"
#include "herd.hpp"

#include "support/temporary_folder.hpp"

#include <onceward/storage/open.hpp>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <thread>
#include <set>

namespace torture {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr auto quiet_limit = 120s;

std::unique_ptr<Server> server_of(Backend backend, const std::string& folder) {
  switch (backend) {
    case Backend::sqlite: break;
    case Backend::redis: return redis_server();
    case Backend::mariadb: return mariadb_server();
  }
  return sqlite_server(folder);
}

bool is_of_worker(const Fault& fault) {
  return fault.kind == FaultKind::kill || fault.kind == FaultKind::stop;
}

/// The workers' side of a run, in a thread of its own: a server that starts keeps nobody stopped.
void drive_workers(Herd& herd, const std::vector<Fault>& faults, Clock::time_point start,
                   Clock::time_point end) {
  auto next = faults.begin();
  while (Clock::now() < end) {
    for (; next != faults.end() && Clock::now() >= start + next->at; ++next) {
      if (is_of_worker(*next)) herd.strike(*next);
    }
    herd.tend();
    std::this_thread::sleep_for(2ms);
  }
  herd.end();
}

int drive_server(Server& server, const std::vector<Fault>& faults, Clock::time_point start) {
  int restarts = 0;
  for (const auto& fault : faults) {
    if (is_of_worker(fault)) continue;
    std::this_thread::sleep_until(start + fault.at);
    if (fault.kind == FaultKind::cut) server.cut(fault);
    if (fault.kind == FaultKind::restart) {
      server.restart();
      ++restarts;
    }
  }
  return restarts;
}

/// Makes calls until every key that was ever named has been replayed: that is what the storage holds. A key
/// that was claimed with another payload is asked for with that one.
void quiet_phase(const Place& place, const std::vector<Line>& lines) {
  const auto opened = onceward::open_storage(place.url).value();
  BrokenStorage broken(*opened, place.broken);
  auto& storage = place.broken == Broken::nothing ? *opened : broken;
  Recorder recorder(place.history_file(quiet_process));
  FencedTable table(place.fenced_file());
  const auto rows = place.rows();
  std::atomic<int> calls = 0;
  Caller caller(storage, table, *rows, recorder, quiet_process, calls);
  const auto is_replayed = [&](const std::pair<Kind, std::string>& key) {
    for (int payload = 0; payload < 2;) {
      const auto word = caller.call(plain_ask(key.first, key.second, payload)).word;
      if (word == "replayed") return true;
      if (word != "executed") ++payload;
    }
    return false;
  };
  std::set<std::pair<Kind, std::string>> open;
  for (const auto& line : lines) open.emplace(line.kind, line.key);
  const auto until = Clock::now() + quiet_limit;
  while (!open.empty() && Clock::now() < until) {
    std::erase_if(open, is_replayed);
    if (!open.empty()) std::this_thread::sleep_for(20ms);
  }
}

std::vector<Line> read_histories(const Place& place, const std::vector<std::string>& names) {
  std::vector<Line> lines;
  for (const auto& name : names) {
    // A process that was killed before its first call has none.
    if (!std::filesystem::exists(place.history_file(name))) continue;
    const auto history = read_history(place.history_file(name));
    lines.insert(lines.end(), history.begin(), history.end());
  }
  return lines;
}

std::chrono::milliseconds since(Clock::time_point start) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - start);
}

/// The tables are there before the workers race for them.
void make_tables(const Place& place) {
  (void)onceward::open_storage(place.url).value();
  const FencedTable table(place.fenced_file());
  if (place.mariadb_port != 0) make_mariadb_rows(place.mariadb_port);
  (void)place.rows();
}

}  // namespace

Run torment(const Options& options) {
  const TemporaryFolder temporary;
  const auto folder = options.keep.empty() ? temporary.path() : options.keep;
  std::filesystem::create_directories(folder);
  const auto server = server_of(options.backend, folder);
  Run run;
  run.missing = server->missing();
  if (run.missing) return run;
  const Place direct{folder, server->direct_url(), server->direct_mariadb_port(), options.broken};
  const Place place{folder, server->url(), server->mariadb_port(), options.broken};
  make_tables(direct);

  const auto faults = plan(options.seed, options.length, server->restart_every());
  const auto start = Clock::now();
  run.observed.realtime_offset_ns = realtime_offset_ns();
  std::vector<std::string> names;
  {
    std::jthread herding([&] {
      Herd herd(place, options.seed);
      drive_workers(herd, faults, start, start + options.length);
      run.counts.kills = herd.kills();
      run.counts.stops = herd.stops();
      run.observed.killed = herd.killed();
      run.observed.stops = herd.stopped();
      run.deaths = herd.deaths();
      names = herd.names();
    });
    run.counts.restarts = drive_server(*server, faults, start);
  }
  run.counts.cuts = server->cuts();
  run.length = since(start);

  const auto quiet = Clock::now();
  quiet_phase(direct, read_histories(direct, names));
  run.quiet = since(quiet);
  names.emplace_back(quiet_process);
  run.observed.lines = read_histories(direct, names);
  FencedTable table(direct.fenced_file());
  run.observed.accepted = table.accepted();
  run.observed.standing = table.standing();
  run.observed.rows = direct.rows()->all();
  return run;
}

}  // namespace torture
