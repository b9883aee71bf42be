#pragma once
#include <onceward/task/definition.hpp>

#include <limits>
#include <memory>
#include <string>
#include <vector>

namespace onceward {

/// One field of a task type: what a merchant may set, and within what.
struct TaskField {
  std::string name;
  Value::Kind kind = Value::Kind::integer;
  Value usual{};     ///< null: the merchant has to give it
  bool open = true;  ///< false: it keeps `usual`, whatever the merchant wants
  std::int64_t least = std::numeric_limits<std::int64_t>::min();  ///< of an integer; of a text: bytes
  std::int64_t most = std::numeric_limits<std::int64_t>::max();
};

/// What a task type is: fixed for the life of the object.
struct TaskTypeSpec {
  std::string name;  ///< "spend-stages@1"
  std::vector<TaskField> fields{};
};

/// A kind of task the platform offers to merchants. One class is one kind; nothing in the library changes.
class TaskType {
 public:
  virtual ~TaskType() = default;
  [[nodiscard]] virtual TaskTypeSpec spec() const = 0;
  /// The task for these fields, all of them there and within their bounds. Its id, version and title are set
  /// afterwards.
  /// Errors: invalid_argument, where fields do not go together; the message names them.
  [[nodiscard]] virtual Result<TaskDefinition> make(const Map& fields) const = 0;

 protected:
  TaskType() = default;
  TaskType(const TaskType&) = default;
  TaskType& operator=(const TaskType&) = default;
};

/// The task types of a platform. Fill it at start-up; afterwards any number of threads may read it.
class TaskTypes {
 public:
  /// Errors: invalid_argument (a spec without name, a field twice, a default outside its bounds), conflict (a
  /// type of that name is there).
  Result<void> add(std::unique_ptr<TaskType> type);
  [[nodiscard]] std::vector<std::string> names() const;
  /// Checks what a merchant gave, completes it by the defaults and makes the task.
  /// Errors: not_found (no such type), invalid_argument (every wrong field at once, one to a line), those of
  /// the type.
  [[nodiscard]] Result<TaskDefinition> make(std::string_view type, const Map& given) const;

 private:
  struct Entry {
    TaskTypeSpec spec;
    std::unique_ptr<TaskType> type;
  };
  std::vector<Entry> entries_;
};

}  // namespace onceward
