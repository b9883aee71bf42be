// The torture test of guarded calls: see --help.
#include "herd.hpp"
#include "supervisor.hpp"

#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <map>
#include <random>

using namespace torture;

namespace {

constexpr int skipped = 77;
constexpr std::size_t violations_shown = 20;

constexpr const char* usage =
    R"(torture [--storage sqlite|redis|mariadb] [--seconds N] [--seed N] [--break WHAT] [--keep FOLDER]

Eight processes make guarded calls of a few hot and many cold keys, while they are killed (kill -9) and
stopped for longer than their leases, the storage's server is killed and started again, and its connections
are cut. Then every key is driven to its end, and a checker reads what all of them wrote down. Prints a
table. Exit code 0: no violation; 1: some; 2: the command line is wrong; 3: the test could not be run; 77:
there is no such server here.

  --storage  sqlite (default), redis (appendfsync always) or mariadb; a private server is started
  --seconds  how long the faults last; 60 unless given
  --seed     of the faults and the calls: the same seed plans the same faults. Unless given, a random one,
             which is printed
  --break    claims, completions or leases: guards that are broken so, to see the checker find it
  --keep     leaves histories and tables in this folder
)";

struct Arguments {
  Options options;
  std::string worker;
  Place place;
};

template <class Enum>
Enum choose(const std::map<std::string, Enum>& choices, const std::string& name, const std::string& word) {
  const auto choice = choices.find(word);
  if (choice == choices.end()) throw std::invalid_argument(name + " cannot be \"" + word + "\"; see --help");
  return choice->second;
}

int number(const std::string& name, const std::string& word) {
  std::size_t read = 0;
  const auto value = std::stol(word, &read);
  if (read != word.size() || value < 0 || value > INT32_MAX)
    throw std::invalid_argument(name + " needs a number, not \"" + word + "\"");
  return static_cast<int>(value);
}

Arguments parse(const std::vector<std::string>& words) {
  Arguments arguments;
  auto& options = arguments.options;
  options.seed = std::random_device()() % 1'000'000;
  for (std::size_t i = 0; i < words.size(); i += 2) {
    const auto& name = words[i];
    if (i + 1 == words.size()) throw std::invalid_argument(name + " needs a value; see --help");
    const auto& word = words[i + 1];
    if (name == "--storage") {
      options.backend = choose<Backend>(
          {{"sqlite", Backend::sqlite}, {"redis", Backend::redis}, {"mariadb", Backend::mariadb}}, name,
          word);
    } else if (name == "--seconds") {
      options.length = std::chrono::seconds(number(name, word));
    } else if (name == "--seed") {
      options.seed = static_cast<unsigned>(number(name, word));
    } else if (name == "--break") {
      options.broken = choose<Broken>({{"nothing", Broken::nothing},
                                       {"claims", Broken::claims},
                                       {"completions", Broken::completions},
                                       {"leases", Broken::leases}},
                                      name, word);
    } else if (name == "--keep") {
      options.keep = word;
    } else if (name == "--worker") {
      arguments.worker = word;
    } else if (name == "--folder") {
      arguments.place.folder = word;
    } else if (name == "--url") {
      arguments.place.url = word;
    } else if (name == "--mariadb-port") {
      arguments.place.mariadb_port = number(name, word);
    } else {
      throw std::invalid_argument("unknown option " + name + "; see --help");
    }
  }
  arguments.place.broken = options.broken;
  return arguments;
}

const char* to_string(Backend backend) {
  constexpr std::array<const char*, 3> names = {"sqlite", "redis", "mariadb"};
  return names[static_cast<std::size_t>(backend)];
}

void row(const std::string& name, const std::string& value) { fmt::print("  {:<34}{:>10}\n", name, value); }
void row(const std::string& name, std::size_t value) { row(name, std::to_string(value)); }
void row(const std::string& name, int value) { row(name, std::to_string(value)); }

void print(const Options& options, const Run& run, const std::vector<Violation>& violations) {
  std::map<std::string, std::size_t> verdicts;
  std::size_t calls = 0;
  std::size_t refused = 0;
  std::size_t renewals = 0;
  std::size_t further = 0;
  for (const auto& line : run.observed.lines) {
    if (line.event == Event::begin) ++calls;
    if (line.event == Event::refused) ++refused;
    if (line.event == Event::renewed) ++renewals;
    if (line.event == Event::end && line.attempt > 1 && line.word != "replayed") ++further;
    if (line.event == Event::end)
      ++verdicts[line.word + (line.word == "executed" && !line.recorded ? ", unrecorded" : "")];
  }
  fmt::print("torture of guarded calls: {}, seed {}{}\n", to_string(options.backend), options.seed,
             options.broken == Broken::nothing ? "" : fmt::format(", broken {}", to_string(options.broken)));
  row("duration, s", fmt::format("{:.1f}", static_cast<double>(run.length.count()) / 1000));
  row("quiet phase, s", fmt::format("{:.1f}", static_cast<double>(run.quiet.count()) / 1000));
  row("calls", calls);
  for (const auto& [verdict, count] : verdicts) row("  " + verdict, count);
  row("runs as a further attempt", further);
  row("leases renewed", renewals);
  row("kill -9 of a worker", run.counts.kills);
  row("stops beyond the lease", run.counts.stops);
  row("kill -9 of the server", run.counts.restarts);
  row("connections cut", run.counts.cuts);
  row("keys with a fenced effect", run.observed.standing.size());
  row("  fenced effects accepted", run.observed.accepted.size());
  row("  refused under a smaller fence", refused);
  row("keys with a transactional effect", run.observed.rows.size());
  row("longest call, ms", fmt::format("{}", longest_call_ns(run.observed) / 1'000'000));
  row("violations", violations.size());
  std::map<std::string, std::size_t> rules;
  for (const auto& violation : violations) ++rules[violation.rule];
  for (const auto& [rule, count] : rules) row("  " + rule, count);
  for (std::size_t i = 0; i < std::min(violations.size(), violations_shown); ++i) {
    fmt::print("violation of {}, key {}: {}\n", violations[i].rule, violations[i].key, violations[i].what);
  }
}

int run(const Options& options) {
  const auto run = torment(options);
  if (run.missing) {
    fmt::print("skipped: there is no {} server on this machine\n", to_string(options.backend));
    return skipped;
  }
  auto violations = check(run.observed);
  for (const auto& death : run.deaths) violations.push_back({"worker", "-", death});
  print(options, run, violations);
  return violations.empty() ? 0 : 1;
}

}  // namespace

int main(int count, char** words) {
  const std::vector<std::string> list(words + 1, words + count);
  if (list == std::vector<std::string>{"--help"}) {
    std::fputs(usage, stdout);
    return 0;
  }
  try {
    const auto arguments = parse(list);
    return arguments.worker.empty() ? run(arguments.options)
                                    : work(arguments.place, arguments.worker, arguments.options.seed);
  } catch (const std::invalid_argument& wrong) {
    std::fprintf(stderr, "torture: %s\n", wrong.what());
    return 2;
  } catch (const std::exception& thrown) {
    std::fprintf(stderr, "torture: %s\n", thrown.what());
    return 3;
  }
}
