// task_model: the model-based test for as long as one likes.
#include "fault/task/model_driver.hpp"

#include <onceward/storage/sqlite.hpp>

#include "support/temporary_folder.hpp"

#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

constexpr std::string_view help =
    "task_model [--storage memory|sqlite] [--operations N] [--seed N] [--each N]\n"
    "Random operations, crashes and repetitions on a task centre, compared with a reference model.\n"
    "  --storage     where it keeps its records; memory where it is not given\n"
    "  --operations  how many in all; 1000000 where it is not given\n"
    "  --seed        the first seed; each seed is another campaign, user history and order; 1\n"
    "  --each        operations of one seed; 200. A failure names its seed: the same --seed and --each\n"
    "                with --operations 1 show it again\n"
    "Ends with 0 where all is as the model has it, 1 where not: the fewest operations that show it are told.\n";

struct Options {
  std::string storage = "memory";
  std::size_t operations = 1'000'000;
  std::size_t seed = 1;
  std::size_t each = 200;
};

bool read(int count, char** words, Options& options) {
  for (int i = 1; i < count; i += 2) {
    const std::string_view name = words[i];
    if (i + 1 == count) return false;
    const std::string_view word = words[i + 1];
    if (name == "--storage") {
      options.storage = word;
      if (word != "memory" && word != "sqlite") return false;
      continue;
    }
    auto* number = name == "--operations" ? &options.operations
                   : name == "--seed"     ? &options.seed
                   : name == "--each"     ? &options.each
                                          : nullptr;
    if (number == nullptr) return false;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), *number);
    if (error != std::errc() || end != word.data() + word.size() || *number == 0) return false;
  }
  return true;
}

}  // namespace

int main(int count, char** words) {
  Options options;
  if (!read(count, words, options)) {
    const bool asked = count == 2 && std::string_view(words[1]) == "--help";
    std::fputs(help.data(), asked ? stdout : stderr);
    return asked ? 0 : 2;
  }
  const TemporaryFolder folder;
  const task_model::OpenStorage on_sqlite = [&](const onceward::Clock& clock) {
    const auto path = folder.file("model.db");
    for (const auto* part : {"", "-wal", "-shm"}) std::remove((path + part).c_str());
    return onceward::sqlite::open(path,
                                  {.synchronous = onceward::sqlite::Synchronous::normal, .clock = &clock})
        .value();
  };
  const auto open =
      options.storage == "sqlite" ? on_sqlite : task_model::OpenStorage(task_model::open_in_memory);
  std::size_t done = 0;
  for (auto seed = options.seed; done < options.operations; ++seed, done += options.each) {
    const auto wrong = task_model::check_seed(open, static_cast<unsigned>(seed), options.each);
    if (!wrong.empty()) {
      std::fprintf(stderr, "%s--storage %s --seed %zu --each %zu --operations 1 shows it again\n",
                   wrong.c_str(), options.storage.c_str(), seed, options.each);
      return 1;
    }
    if ((seed - options.seed) % 50 == 49) {
      std::printf("%zu of %zu operations, seed %zu\n", done + options.each, options.operations, seed);
      std::fflush(stdout);
    }
  }
  std::printf("%zu operations on %s from seed %zu on: all as the model has it\n", done,
              options.storage.c_str(), options.seed);
  return 0;
}
