#include "fault/task/model_driver.hpp"

// Seeds: what each of them does, and the fewest operations that show what is wrong with one.
namespace task_model {

std::vector<Operation> operations_of(unsigned seed, std::size_t count) {
  std::mt19937 random(seed * 2'654'435'761U + 1);
  constexpr int weights[] = {34, 5, 3, 4, 1, 14, 9, 4, 8, 2, 2, 3, 3, 2, 4, 5, 4, 3};
  std::vector<Operation> operations;
  for (std::size_t i = 0; i < count; ++i) {
    Operation operation;
    int pick = static_cast<int>(random() % 110);
    int kind = 0;
    while (pick >= weights[kind]) pick -= weights[kind++];
    operation.kind = static_cast<Operation::Kind>(kind);
    operation.id = static_cast<int>(i);
    operation.user = static_cast<int>(random() % model_users);
    operation.task = static_cast<int>(random() % 6);
    operation.n = static_cast<int>(random() % 10);
    operation.which = static_cast<int>(random() % 1000);
    if (random() % 6 == 0) operation.fault = static_cast<Operation::Fault>(1 + random() % 5);
    operation.at_commit = static_cast<int>(random() % 5);
    operation.reply_lost = random() % 12 == 0;
    operations.push_back(operation);
  }
  return operations;
}

std::string describe(const std::vector<Operation>& operations) {
  constexpr std::array names = {"report", "batch",    "async",   "repeat",  "conflict", "reverse",
                                "claim",  "complete", "collect", "abandon", "withdraw", "replay",
                                "force",  "publish",  "door",    "jump",    "work",     "check"};
  constexpr std::array faults = {"",
                                 ", dies before commit ",
                                 ", dies after commit ",
                                 ", lost before commit ",
                                 ", lost after commit ",
                                 ", unavailable at call "};
  std::string text;
  for (const auto& o : operations) {
    text += "  " + std::to_string(o.id) + " " + names[static_cast<std::size_t>(o.kind)] + ": user " +
            std::to_string(o.user) + ", task " + std::to_string(o.task) + ", n " + std::to_string(o.n) +
            ", which " + std::to_string(o.which) + faults[static_cast<std::size_t>(o.fault)] +
            (o.fault == Operation::Fault::none ? "" : std::to_string(o.at_commit)) +
            (o.reply_lost ? ", reply lost" : "") + "\n";
  }
  return text;
}

std::unique_ptr<Storage> open_in_memory(const Clock& clock) { return open_memory({.clock = &clock}).value(); }

std::string run_seed(const OpenStorage& open, unsigned seed, const std::vector<Operation>& operations,
                     std::string* trace) {
  try {
    drive(open, seed, operations, trace);
    return {};
  } catch (const std::exception& thrown) {
    return thrown.what();
  }
}

std::string check_seed(const OpenStorage& open, unsigned seed, std::size_t count) {
  auto operations = operations_of(seed, count);
  const auto first = run_seed(open, seed, operations);
  if (first.empty()) return {};
  for (std::size_t before = 0; before != operations.size();) {
    before = operations.size();
    for (std::size_t size = operations.size() / 2; size > 0; size /= 2) {
      for (std::size_t begin = 0; begin < operations.size();) {
        auto fewer = operations;
        const auto end = std::min(begin + size, fewer.size());
        fewer.erase(fewer.begin() + static_cast<std::ptrdiff_t>(begin),
                    fewer.begin() + static_cast<std::ptrdiff_t>(end));
        if (run_seed(open, seed, fewer).empty()) {
          begin += size;
        } else {
          operations = std::move(fewer);
        }
      }
    }
  }
  for (auto& operation : operations) {  // a fault that is not needed is none
    const auto fault = std::exchange(operation.fault, Operation::Fault::none);
    if (run_seed(open, seed, operations).empty()) operation.fault = fault;
  }
  std::mt19937 random(seed);
  const bool tight = random() % 2 == 0;
  std::string trace;
  const auto last = run_seed(open, seed, operations, &trace);
  return "seed " + std::to_string(seed) + ": " + first + "\nfewest operations: " + last + "\n" +
         describe(operations) + "answers:\n" + trace + campaign_of(random_tasks(random, tight), 0) + "\n";
}

}  // namespace task_model
