#pragma once
#include "task/reporter.hpp"
#include "task/views.hpp"

namespace onceward::task_detail {

/// What users and operators ask for: one instance at a time, on the way events take.
class Requests {
 public:
  Requests(Storage& storage, Runner& runner, const TaskCenterOptions& options, const Merchants& merchants,
           bool drives = true)
      : storage_(storage), runner_(runner), options_(options), merchants_(merchants), drives_(drives) {}

  Result<Reply> run(Trigger trigger, const Request& request);
  /// The storage's time of the last request.
  [[nodiscard]] Timestamp asked_at() const noexcept { return asked_at_; }
  Result<Explanation> explain(const Request& request);
  /// Takes a unit of a quota at the claim anew, for an instance that goes on whose unit has returned. It
  /// lapses where the act it is for does not take it. Empty with `out_of_stock` where none is left.
  Result<std::optional<WaitingTodo>> take_unit_again(const Request& request, const IndexEntry& entry,
                                                     Timestamp claimed, bool& out_of_stock);

 private:
  /// A request with all that is known before it is decided.
  struct Asked {
    const Request* request;
    std::shared_ptr<const MerchantIndex> merchant;
    IndexEntry entry;
    std::string partition;
    std::string cycle;
    Timestamp at{};
    Timestamp now{};  ///< the storage's
    Timestamp cycle_end = Timestamp::max();
    bool cycle_exists = true;            ///< the task, as it is in force, has a cycle of this name
    std::optional<Cause> other_cycle{};  ///< why the cycle of this name is not the one of `at`
    std::string zone{};
    bool known = false;        ///< its key was used before
    std::string kept_cycle{};  ///< which it was for then
  };
  Result<Asked> ask(Trigger trigger, const Request& request);
  Result<std::vector<Cause>> causes_of(const Asked& asked, std::optional<InstanceView>& view);
  Result<std::optional<Cause>> audience_of(const Asked& asked);
  static Todo unit_todo(const Asked& asked, std::size_t number);
  Result<bool> met(Trigger trigger, const Asked& asked);
  Result<std::optional<WaitingTodo>> take_unit(const Asked& asked, bool& out_of_stock);
  PendingEvent pending_of(Trigger trigger, const Asked& asked, const Event& event) const;
  Result<std::optional<InstanceView>> view_of(const Asked& asked, Beside* beside = nullptr);

  Storage& storage_;
  Runner& runner_;
  const TaskCenterOptions& options_;
  const Merchants& merchants_;
  bool drives_;
  Timestamp asked_at_{};
};

}  // namespace onceward::task_detail
