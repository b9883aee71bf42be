#pragma once
#include <onceward/task/task_center.hpp>

#include "task/requests.hpp"
#include "task/views.hpp"

namespace onceward {

struct TaskCenter::State {
  Storage& storage;
  PlanCatalog& catalog;
  Runner& runner;
  TaskCenterOptions options;
  task_detail::Merchants merchants{};

  task_detail::Requests requests() { return {storage, runner, options, merchants}; }
  /// Versions published before that this process has not met: instances of theirs go on. What cannot be
  /// known here is told to the journal. Errors: as check_updates, those of the storage.
  Result<task_detail::Campaigns> earlier_versions(const task_detail::CompiledCampaign& campaign);
  void report_some(Storage& on, std::span<const Event> events, std::span<Result<Receipt>> places,
                   bool drives);
  Result<std::optional<InstanceView>> view(std::string_view merchant, std::string_view owner,
                                           std::string_view user, std::string_view task,
                                           std::string_view cycle);
  /// Has an instance's time end, or an operator push it on.
  Result<Receipt> act(task_detail::Act act, std::string_view merchant, std::string_view user,
                      const std::string& partition, const Record& record, Timestamp now);
  Result<void> replay_one(const ReplayRequest& request, const std::string& partition, const Record& record,
                          Timestamp now, ReplayReport& report);
  Result<void> replay_older(const ReplayRequest& request, const std::string& partition, ReplayReport& report);
  Result<void> replay_memberships(const ReplayRequest& request, const std::string& partition,
                                  ReplayReport& report);
  Result<void> replay_run(const ReplayRequest& request, const std::string& partition, const Record& record,
                          ReplayReport& report);
  /// Has an operator push on what ended; false where its quota has no unit left for it.
  Result<bool> force_on(const ReplayRequest& request, const std::string& partition, const Record& record,
                        Timestamp now);
  Result<void> push_runs(const ReplayRequest& request, const std::string& partition,
                         const InstanceView& seen);
  /// A due record that was looked at, and after how many leases it is due again where it stands unchanged.
  struct LookedAt {
    const DuePage::Entry* entry;
    std::int64_t leases = 1;
    std::optional<task_detail::Todo> todo{};
  };
  struct Due {
    std::vector<task_detail::WaitingTodo> todos{};
    std::vector<LookedAt> tried{};
    std::vector<LookedAt> strange{};  ///< not for this process: counted by no limit
    std::vector<std::pair<std::string, std::string>> rewards{};
  };
  /// Has times end, and finds the todos to be done.
  Result<Due> look_at_due(const DuePage& page, std::size_t limit);
  Result<bool> end_time(const DuePage::Entry& entry, Timestamp now);
  /// Puts off what is still as it was: it could not be done now. Gives how many that were.
  Result<std::size_t> put_off(std::span<const LookedAt> looked);
  Result<void> tell_ended(std::span<const std::pair<std::string, std::string>> rewards);
};

}  // namespace onceward
