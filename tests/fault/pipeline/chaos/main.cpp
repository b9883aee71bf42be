// The chaos test of pipelines: see --help.
#include "supervisor.hpp"

#include <fmt/format.h>

#include <cstdio>

using namespace chaos;

namespace {

constexpr int skipped = 77;
constexpr std::size_t shown_of_a_rule = 5;

constexpr const char* usage =
    R"(pipeline_chaos [--storage sqlite|redis|mariadb] [--runs N] [--seed N] [--break WHAT] [--limit SECONDS]

Four processes start, signal, cancel and drive runs of pipelines with every construct, on one storage. One of
them is killed (kill -9) every 50 to 500 ms and started again; now and then one is stopped for longer than its
leases. The downstream of the steps fails 5 % of the calls and never answers 2 %, a third of which it carries
out later. When every run has ended, each is compared with the downstream's books. Prints a table. Exit code 0:
no violation; 1: some; 2: the command line is wrong; 3: the test could not be run; 77: there is no such server
here.

  --storage  sqlite (default), redis or mariadb; a private server is started
  --runs     10000 unless given
  --seed     of the faults; 1 unless given
  --break    tokens or undo: steps that are broken so, to see the checker find it
  --limit    a run that has not ended by then counts as one that never does; 1200 unless given
)";

template <class Enum>
Enum choose(const std::map<std::string, Enum>& choices, const std::string& name, const std::string& word) {
  const auto choice = choices.find(word);
  if (choice == choices.end()) throw std::invalid_argument(name + " cannot be \"" + word + "\"; see --help");
  return choice->second;
}

int number(const std::string& name, const std::string& word) {
  std::size_t read = 0;
  const auto value = std::stol(word, &read);
  if (read != word.size() || value < 0 || value > 10'000'000)
    throw std::invalid_argument(name + " needs a number, not \"" + word + "\"");
  return static_cast<int>(value);
}

struct Arguments {
  Options options;
  Job job{.worker = -1};
};

Arguments parse(const std::vector<std::string>& words) {
  Arguments arguments;
  auto& options = arguments.options;
  for (std::size_t i = 0; i < words.size(); i += 2) {
    const auto& name = words[i];
    if (i + 1 == words.size()) throw std::invalid_argument(name + " needs a value; see --help");
    const auto& word = words[i + 1];
    if (name == "--storage") {
      options.backend = choose<Backend>(
          {{"sqlite", Backend::sqlite}, {"redis", Backend::redis}, {"mariadb", Backend::mariadb}}, name,
          word);
    } else if (name == "--runs") {
      options.runs = number(name, word);
    } else if (name == "--seed") {
      options.seed = static_cast<unsigned>(number(name, word));
    } else if (name == "--limit") {
      options.limit = std::chrono::seconds(number(name, word));
    } else if (name == "--break") {
      options.broken = choose<Broken>(
          {{"nothing", Broken::nothing}, {"tokens", Broken::tokens}, {"undo", Broken::undo}}, name, word);
    } else if (name == "--worker") {
      arguments.job.worker = number(name, word);
    } else if (name == "--url") {
      arguments.job.url = word;
    } else if (name == "--folder") {
      arguments.job.folder = word;
    } else {
      throw std::invalid_argument("unknown option " + name + "; see --help");
    }
  }
  arguments.job.runs = options.runs;
  arguments.job.broken = options.broken;
  return arguments;
}

void row(std::string_view name, std::size_t value) { fmt::print("  {:<34}{:>10}\n", name, value); }
void row(std::string_view name, int value) { row(name, static_cast<std::size_t>(value)); }

void print(const Options& options, const Report& report) {
  static constexpr std::array<const char*, 3> storages = {"sqlite", "redis", "mariadb"};
  fmt::print("chaos of pipelines: {}, seed {}\n", storages[static_cast<std::size_t>(options.backend)],
             options.seed);
  fmt::print("  {:<34}{:>10.1f}\n", "duration, s", static_cast<double>(report.length.count()) / 1000);
  row("runs", options.runs);
  for (const auto& [state, count] : report.states) row("  " + state, count);
  row("kills", report.kills);
  row("stops beyond the lease", report.stops);
  row("looks at the health of all runs", report.examinations);
  row("calls of the downstream", report.downstream.requests);
  row("  failed", report.downstream.down);
  row("  without an answer", report.downstream.lost);
  row("    of these carried out later", report.downstream.late);
  row("  parked", report.downstream.accepted);
  row("  with a token that was known", report.repeated);
  row("effects", report.effects);
  row("effects undone", report.undos);
  row("undone before they took place", report.undos_of_nothing);
  row("violations", report.violations.size());
  std::map<std::string, std::size_t> rules;
  for (const auto& violation : report.violations) ++rules[violation.rule];
  for (const auto& [rule, count] : rules) row("  " + rule, count);
  std::map<std::string, std::size_t> shown;
  for (const auto& violation : report.violations) {
    if (++shown[violation.rule] <= shown_of_a_rule)
      fmt::print("violation of {}, run {}: {}\n", violation.rule, violation.run, violation.what);
  }
}

int run(const Options& options) {
  const auto report = unleash(options);
  if (report.missing) {
    fmt::print("skipped: there is no such server on this machine\n");
    return skipped;
  }
  print(options, report);
  return report.violations.empty() ? 0 : 1;
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
    return arguments.job.worker < 0 ? run(arguments.options) : work(arguments.job);
  } catch (const std::invalid_argument& wrong) {
    std::fprintf(stderr, "pipeline_chaos: %s\n", wrong.what());
    return 2;
  } catch (const std::exception& thrown) {
    std::fprintf(stderr, "pipeline_chaos: %s\n", thrown.what());
    return 3;
  }
}
