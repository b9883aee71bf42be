#pragma once
#include <onceward/task/task_center.hpp>
#include <onceward/task/task_type.hpp>

#include <memory>
#include <string>
#include <vector>

namespace onceward {

/// Where a merchant's version of a task stands, from the first draft to the archive.
enum class Publication : std::uint8_t {
  draft,
  submitted,
  approved,
  scheduled,
  online,
  paused,
  offline,
  archived
};
[[nodiscard]] std::string_view to_string(Publication state) noexcept;

/// A version of a task in the hands of its merchant and the platform.
struct TaskSheet {
  std::string task;
  std::string version;
  std::string type;  ///< of TaskTypes
  Map fields{};      ///< as given
  std::string title{};
  Publication state = Publication::draft;
  std::string author{};  ///< who wrote it last
  std::string approver{};
  std::optional<Timestamp> online_at{};  ///< scheduled
  std::vector<std::string> authors{};    ///< who wrote any of it, or of what it was cloned from
};

/// Who acts for which merchant: every call is about this merchant alone.
struct Acting {
  std::string merchant;
  std::string actor;
};

/// One line of what was done.
struct AuditLine {
  Timestamp at{};
  std::string actor;
  std::string act;  ///< "draft", "edit", "submit", "approve", "reject", "schedule", "online", ...
  std::string task;
  std::string version;
  std::string reason{};
};

/// What the platform sets up for a merchant.
struct MerchantSetup {
  std::string merchant;
  std::string timezone = "UTC";  ///< of what is submitted from now on; what was submitted keeps its own
  std::vector<PipelineDefinition> pipelines{};  ///< the rewards its task types may use
};

/// The platform's and the merchants' side of a task centre: sheets go from draft to online through another
/// actor's approval, and what is online is published. Every act is one batch with its audit lines. A version
/// changes as a draft alone; one that is rejected is a draft again, one that was online never is. Safe from
/// any thread; what it was made with must outlive it.
///
/// Errors of every call: not_found (no such merchant, task or version of this merchant), wrong_state (the act
/// is not defined from where the sheet stands; the message names both), conflict (another actor was faster),
/// those of the storage. put_online, pause and take_offline are refused with nothing changed where the
/// outcome could not be published (invalid_argument, or as TaskCenter::publish); a storage's error may come
/// after the act was written: refresh() publishes it then.
class TaskAdmin {
 public:
  TaskAdmin(Storage& storage, TaskCenter& center, const StepRegistry& steps, const TaskTypes& types);
  ~TaskAdmin();
  TaskAdmin(const TaskAdmin&) = delete;
  TaskAdmin& operator=(const TaskAdmin&) = delete;

  /// Sets a merchant up, or anew. Call it at start-up, before the merchant's other calls.
  void set_up(MerchantSetup setup);

  /// Begins a version. Errors: invalid_argument (an id, every wrong field), conflict (the version is there).
  Result<void> draft(const Acting& who, const TaskSheet& sheet);
  /// Changes the fields and title of a draft.
  Result<void> edit(const Acting& who, const TaskSheet& sheet);
  /// Begins a draft of another id or version with the fields, and the authors, of a version there is.
  Result<void> clone(const Acting& who, std::string_view task, std::string_view version,
                     std::string_view to_task, std::string_view to_version);
  /// Hands a draft over to be approved. It is compiled with the merchant's pipelines first.
  /// Errors: invalid_argument with every mistake, its path and reason; the draft stays one.
  Result<void> submit(const Acting& who, std::string_view task, std::string_view version);
  /// Errors: invalid_argument, where the actor is one of its authors.
  Result<void> approve(const Acting& who, std::string_view task, std::string_view version);
  /// Back to draft, from submitted and approved: it needs both anew.
  Result<void> reject(const Acting& who, std::string_view task, std::string_view version,
                      std::string_view reason);
  /// Goes online at a time; work() sees to it.
  Result<void> schedule(const Acting& who, std::string_view task, std::string_view version, Timestamp at);
  /// Users see it; another version of the task that was online goes offline. From approved, scheduled, paused
  /// and offline.
  Result<void> put_online(const Acting& who, std::string_view task, std::string_view version);
  /// No events, no claims, until it is put online again; what was earned can be collected. Refused while a
  /// task that is online comes after it.
  Result<void> pause(const Acting& who, std::string_view task, std::string_view version,
                     std::string_view reason);
  /// For good, or until it is put online again; otherwise as pause.
  Result<void> take_offline(const Acting& who, std::string_view task, std::string_view version,
                            std::string_view reason);
  Result<void> archive(const Acting& who, std::string_view task, std::string_view version);

  /// Every version of the merchant's tasks.
  Result<std::vector<TaskSheet>> sheets(std::string_view merchant);
  /// What was done, oldest first; at most the last 10,000 lines.
  Result<std::vector<AuditLine>> audit(std::string_view merchant);

  /// Publishes what is online now: at start-up, and in the other processes after a change.
  Result<void> refresh(std::string_view merchant);
  /// Puts online what was scheduled and whose time has come. Call it in a loop. What cannot go online stays
  /// scheduled and keeps no other from it. Errors: the last one met.
  Result<std::size_t> work();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace onceward
