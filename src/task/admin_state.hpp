#pragma once
#include <onceward/task/task_admin.hpp>

#include "task/sheet.hpp"

#include <map>
#include <mutex>
#include <span>

namespace onceward {

struct TaskAdmin::State {
  Storage& storage;
  TaskCenter& center;
  const StepRegistry& steps;
  const TaskTypes& types;
  std::mutex mutex{};
  std::map<std::string, MerchantSetup, std::less<>> merchants{};
  std::mutex refreshing{};  ///< what was read first is published first

  struct Found {
    task_detail::SheetRecord record;
    Revision revision = absent;
    Timestamp now{};
  };
  struct Change {
    task_detail::SheetAct act;
    std::string_view reason{};
    std::optional<Timestamp> online_at{};
  };
  /// A sheet as an act leaves it.
  struct Move {
    const Found* from;
    task_detail::SheetRecord to;
    std::string_view act;
    std::string_view reason{};
  };

  Result<MerchantSetup> setup_of(std::string_view merchant);
  Result<Found> find(const Acting& who, std::string_view task, std::string_view version);
  /// Where an act leads from a sheet. Errors: wrong_state.
  static Result<Publication> moved(const TaskSheet& sheet, task_detail::SheetAct act);
  Result<void> begin(const Acting& who, TaskSheet sheet, std::string_view act);
  Result<void> write(const Acting& who, std::span<const Move> moves,
                     std::optional<Operation> fence = std::nullopt);
  Result<void> change(const Acting& who, std::string_view task, std::string_view version,
                      const Change& change);
  Result<void> change_online(const Acting& who, std::string_view task, std::string_view version,
                             const Change& change);
  Result<TaskDefinition> make(const TaskSheet& sheet);
  Result<std::string> compile(const Acting& who, const TaskSheet& sheet);
  Result<Campaign> campaign_of(std::string_view merchant, std::span<const task_detail::SheetRecord> sheets,
                               std::string_view path);
  Result<std::vector<Found>> all(std::string_view merchant);
};

}  // namespace onceward
