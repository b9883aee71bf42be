#pragma once
#include <onceward/task/task_center.hpp>

#include "task/replay_walk.hpp"
#include "task/requests.hpp"
#include "task/reward_moves.hpp"
#include "task/views.hpp"

#include <map>
#include <mutex>

namespace onceward {

struct TaskCenter::State {
  Storage& storage;
  PlanCatalog& catalog;
  Runner& runner;
  TaskCenterOptions options;
  task_detail::Merchants merchants{};
  std::shared_ptr<task_detail::RewardMoves> reward_moves{};  ///< where there is a journal

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
  /// What one replay asks for, and has found so far.
  struct Replaying {
    const ReplayRequest& request;
    const task_detail::MerchantIndex& index;
    ReplayReport report{};

    [[nodiscard]] bool over() const noexcept {
      return request.limit && report.pushed.size() >= *request.limit;
    }
  };
  /// An instance, or a member's reward, that has stopped.
  struct Stopped {
    Replayed line;
    const Record* record = nullptr;
    Status status = Status::failed;  ///< of the instance
    bool moves = false;              ///< pushed on it is rewarding again; what is owed leaves it
    bool ended = false;              ///< given up or expired: it needs force
    bool cancelled = false;          ///< nothing of it can be pushed on
    std::vector<std::string> runs;   ///< keys of those that have stopped
    std::vector<std::string> reasons;
    std::vector<std::optional<Record>> stored{};
  };
  /// Looks at a page of records, and pushes on; gives the last record it looked at.
  Result<std::string> replay_page(Replaying& replaying, const task_detail::ReplayWalk::Page& page);
  Result<std::vector<Stopped>> stopped_instances(Replaying& replaying,
                                                 const task_detail::ReplayWalk::Page& page);
  Result<std::vector<Stopped>> stopped_runs(Replaying& replaying, const task_detail::ReplayWalk::Page& page);
  /// Pushes it on; gives why not, where it is not. Errors: the storage's.
  Result<std::optional<Cause>> push_on(const ReplayRequest& request,
                                       const task_detail::ReplayWalk::Page& page, const Stopped& stopped);
  /// Has an operator push on what ended; gives why not, where it is not.
  Result<std::optional<Cause>> force_on(const ReplayRequest& request, const std::string& partition,
                                        const std::string& user, const Record& record, Timestamp now);
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
  };
  /// Gives back the units of a task's quota at the claim that are held by what has lapsed: claims whose
  /// processes died, and holds whose time passed; false where there was none. One look for each tenth of a
  /// second of the storage's.
  Result<bool> free_lapsed(std::string_view merchant, std::string_view task, Timestamp now);
  std::mutex looking{};
  std::map<std::string, Timestamp, std::less<>> last_looks{};  ///< "<merchant>/<task>" -> for what has lapsed

  /// Has times end, and finds the todos to be done.
  Result<Due> look_at_due(const DuePage& page, std::size_t limit);
  Result<bool> end_time(const DuePage::Entry& entry, Timestamp now);
  /// Puts off what is still as it was: it could not be done now. Gives how many that were.
  Result<std::size_t> put_off(std::span<const LookedAt> looked);
};

}  // namespace onceward
