// task_model FIRST_SEED SEEDS OPERATIONS: the model-based test for as long as one likes, on memory.
#include "fault/task/model.hpp"

#include <cstdio>
#include <cstdlib>

int main(int count, char** words) {
  if (count != 4) {
    std::fprintf(stderr, "usage: task_model FIRST_SEED SEEDS OPERATIONS\n");
    return 2;
  }
  const auto first = static_cast<unsigned>(std::atoi(words[1]));
  const auto seeds = static_cast<unsigned>(std::atoi(words[2]));
  const auto operations = static_cast<std::size_t>(std::atoi(words[3]));
  for (unsigned seed = first; seed < first + seeds; ++seed) {
    const auto wrong = task_model::check_seed(task_model::on_memory(), seed, operations);
    if (wrong.empty()) continue;
    std::fprintf(stderr, "%s", wrong.c_str());
    return 1;
  }
  std::printf("%u seeds, %zu operations, all as the model has it\n", seeds, seeds * operations);
  return 0;
}
