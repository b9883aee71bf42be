#pragma once
#include "fault/task/model_tasks.hpp"

#include <map>
#include <set>

// What a task centre should do, told as plainly as it can be: lists of what was contributed, summed anew each
// time. It knows nothing of storages, batches, todos, runs or crashes.
namespace task_model {

enum class Door { open, closed, busy };  ///< how the downstream answers for a user
enum class Run { given, refused, exhausted };

class Model {
 public:
  struct Grant {
    enum class State { earned, issued, out_of_stock, voided, revoked };
    State state = State::earned;
    int generation = 1;
    bool unit = false;
    std::string period{};
    Run run = Run::given;
    bool owed = false;  ///< revoked, and not taken back yet
    Run take = Run::given;
  };
  /// One contribution. A list of them is all that progress is.
  struct Part {
    std::int64_t amount = 1;
    std::int64_t value = 0;  ///< distinct: the value; streak: the number of the day or week
    int rule = 0;
    bool divisible = false;
    bool early = false;
    bool gone = false;
    std::int64_t taken = 0;
    std::string user{};  ///< whose event it was

    [[nodiscard]] std::int64_t left() const {
      if (gone) return 0;
      if (!divisible) return amount;
      const auto rest = std::max<std::int64_t>(0, std::abs(amount) - taken);
      return amount < 0 ? -rest : rest;
    }
  };
  struct Instance {
    int version = 0;
    Status status = Status::not_taken;
    std::string reason{};
    std::vector<Part> parts{};
    int reached = 0;
    std::map<int, Grant> grants{};
    std::optional<Timestamp> claimed_at{};
    std::optional<Timestamp> deadline{};
    std::optional<Timestamp> expires{};
    std::optional<Timestamp> collect_until{};
    std::optional<std::string> unit{};  ///< taken at the claim: its period
    std::vector<std::string> members{};
  };
  /// What a receipt or reply has to say.
  struct Said {
    Reply::Outcome outcome = Reply::Outcome::done;
    bool conflict = false;
    std::multiset<std::string> contributions{};
    std::multiset<std::string> skipped{};
  };
  struct Where {
    std::string owner;
    int task = 0;
    std::string cycle;
    auto operator<=>(const Where&) const = default;
  };

  explicit Model(std::vector<Task> tasks) : tasks_(std::move(tasks)) {}

  Said report(const Event& event, Timestamp now);
  Said claim(const std::string& user, int task, Timestamp now);
  Said complete(const std::string& user, int task, Timestamp now, const std::string& id);
  Said collect(const Where& where, int stage, Timestamp now);
  Said end(const Where& where, Trigger trigger, const std::string& reason);
  void replay(const std::string& user, bool force);
  void work(Timestamp now);
  void publish(int version) { version_ = version; }
  void set_door(const std::string& user, Door door) { doors_[user] = door; }

  [[nodiscard]] const std::vector<Task>& tasks() const { return tasks_; }
  [[nodiscard]] const std::map<Where, Instance>& instances() const { return instances_; }
  [[nodiscard]] std::int64_t progress(const Where& where) const {
    return progress_of(tasks_[static_cast<std::size_t>(where.task)], instances_.at(where));
  }
  [[nodiscard]] std::pair<Status, std::string> status(const Instance& instance) const;
  [[nodiscard]] const std::map<std::string, int>& ledger() const { return ledger_; }
  [[nodiscard]] const std::map<std::pair<int, std::string>, int>& units() const { return units_; }
  [[nodiscard]] std::string cycle_of(const std::string& user, int task, Timestamp at) const;

 private:
  struct Known {
    bool came = false;
    bool gone = false;
    std::int64_t taken = 0;
    std::vector<std::pair<Where, std::size_t>> parts{};
  };
  struct Cycle {
    std::string name;
    Timestamp end;
  };
  /// An instance on which one event or request acts: kept only where it counts.
  struct Draft {
    Where where;
    Instance instance;
    bool begun = false;
  };

  [[nodiscard]] const Task& task(int number) const { return tasks_[static_cast<std::size_t>(number)]; }
  [[nodiscard]] const std::vector<int>& targets(int number, int version) const {
    return task(number).targets[static_cast<std::size_t>(version)];
  }
  static std::int64_t progress_of(const Task& task, const Instance& instance);
  static std::int64_t streak_of(const Task& task, const Instance& instance);
  [[nodiscard]] std::int64_t progress_of(const Draft& draft) const {
    return progress_of(task(draft.where.task), draft.instance);
  }
  [[nodiscard]] Cycle cycle_at(const std::string& user, int number, Timestamp at) const;
  [[nodiscard]] std::optional<Part> part_of(const Task& task, const Event& event) const;
  std::string contribute(const std::string& owner, int number, Part part, Timestamp at, Timestamp now,
                         bool completes, Known& known, Said& said);
  Said take_back(const Event& event);
  void set_deadlines(Instance& instance, const Task& task, Timestamp at, Timestamp end, Timestamp now) const;
  void keep(Draft draft, Timestamp at);
  void reach(Draft& draft, std::int64_t before, Trigger trigger, Timestamp at, Timestamp now);
  void earn(Draft& draft, int stage, Timestamp at);
  void lose(Draft& draft, std::int64_t before);
  void issue(const Where& where, int stage, Grant& grant);
  void revoke(const Where& where, int stage, Grant& grant);
  void free_unit(int number, Grant& grant);
  void free_claim(Draft& draft);
  bool take_unit(int number, const std::string& period);
  void move(Instance& instance, int stages, Trigger trigger) const;
  void end(Draft& draft, Trigger trigger, const std::string& reason);
  bool force_on(Draft& draft);
  Run answer(const std::string& user) const {
    const auto found = doors_.find(user);
    if (found == doors_.end() || found->second == Door::open) return Run::given;
    return found->second == Door::closed ? Run::refused : Run::exhausted;
  }
  /// How the ledger names a grant.
  static std::string line_of(const Where& where, const std::string& user, const std::string& task, int stage,
                             int generation);
  [[nodiscard]] std::string period_of(const Task& task, Timestamp at) const;
  static bool waits(const Instance& instance);
  void reward_member(const std::string& user, const Where& where);

  std::vector<Task> tasks_;
  int version_ = 0;
  std::map<Where, Instance> instances_;
  std::map<std::string, Known> events_;                       ///< by "user/id"
  std::map<std::pair<std::string, int>, Timestamp> anchors_;  ///< rolling: where a user began
  std::map<std::pair<std::string, int>, int> taken_;          ///< per-user
  std::map<std::pair<int, std::string>, int> units_;          ///< by task and period
  std::map<std::string, Door> doors_;
  std::map<std::string, int> ledger_;                              ///< by grant: what is given in the end
  std::map<std::string, std::set<std::string>> debts_;             ///< user -> earned again, not taken back
  std::map<std::string, std::map<std::string, Run>> memberships_;  ///< user -> grant -> how it went
};

}  // namespace task_model
