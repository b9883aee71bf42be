#pragma once
#include "fault/task/model.hpp"

#include <onceward/storage/storage.hpp>

#include <functional>
#include <memory>
#include <string>
#include <vector>

// Does random operations on a task centre and on the model, has processes die and storages fail in the middle
// of them, and compares the two.
namespace task_model {

struct Operation {
  enum class Kind {
    report,
    batch,
    async,
    repeat,
    conflict,
    reverse,
    claim,
    complete,
    collect,
    abandon,
    withdraw,
    replay,
    force,
    publish,
    door,
    jump,
    work,
    check
  };
  enum class Fault {
    none,
    dies_before,  ///< kill -9 before a commit
    dies_after,   ///< after it: it is durable, nobody heard
    lost_before,  ///< in_doubt: the commit never arrived
    lost_after,   ///< in_doubt: it was carried out
    unavailable,
  };
  Kind kind = Kind::report;
  int id = 0;  ///< its place in the seed's list, also in a shorter one
  int user = 0;
  int task = 0;
  int n = 0;
  int which = 0;
  Fault fault = Fault::none;
  int at_commit = 0;
  bool reply_lost = false;  ///< the next reward is given and its reply lost
};
constexpr int model_users = 4;
std::vector<Operation> operations_of(unsigned seed, std::size_t count);
std::string describe(const std::vector<Operation>& operations);

/// Opens the storage of one run: on the given clock.
using OpenStorage = std::function<std::unique_ptr<Storage>(const Clock& clock)>;
std::unique_ptr<Storage> open_in_memory(const Clock& clock);

/// Does them. Throws std::runtime_error with what is wrong.
void drive(const OpenStorage& open, unsigned seed, const std::vector<Operation>& operations,
           std::string* trace);
/// Of one seed: empty where all is as the model has it, else what is wrong. `trace`: told every answer.
std::string run_seed(const OpenStorage& open, unsigned seed, const std::vector<Operation>& operations,
                     std::string* trace = nullptr);
/// Of one seed; what is wrong, the campaign and the fewest operations that show it.
std::string check_seed(const OpenStorage& open, unsigned seed, std::size_t count);

}  // namespace task_model
