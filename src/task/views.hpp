#pragma once
#include <onceward/task/request.hpp>

#include "task/merchants.hpp"
#include "task/moving.hpp"
#include "task/records.hpp"

namespace onceward::task_detail {

/// An instance to look at.
struct ViewWanted {
  const MerchantIndex* merchant = nullptr;
  std::string partition;
  std::string user;  ///< whose rewards; empty: a group's
  std::string task;
  std::string cycle;
};

/// Records that are read in the same round trip.
struct Beside {
  std::span<const RecordRef> refs;
  std::vector<std::optional<Record>> records{};  ///< one for each, once they are read
};

/// Instances as they stand, their rewards' runs included: one read for the usual ones, a second one where a
/// reward is of a later generation or an older version. Empty where there is no instance, or only history.
Result<std::vector<std::optional<InstanceView>>> read_views(Storage& storage,
                                                            std::span<const ViewWanted> wanted,
                                                            Beside* beside = nullptr);

/// The same with what only records tell.
struct Seen {
  InstanceView view;
  Status stored = Status::not_taken;  ///< before the rewards' runs were looked at
  Revision newest = absent;           ///< of the rewards' runs, the last write
  std::int64_t newest_stage = 0;      ///< and its stage; of two at once the later stage
};
Result<std::vector<std::optional<Seen>>> read_seen(Storage& storage, std::span<const ViewWanted> wanted,
                                                   Beside* beside = nullptr);

/// A task that comes before another one, in its cycle at a time.
[[nodiscard]] ViewWanted prerequisite(const MerchantIndex& merchant, std::string_view merchant_name,
                                      std::string_view user, const std::string& task, Timestamp at);
/// Of these tasks, the first that is not rewarded to the user in its cycle at a time, and so on.
Result<std::vector<std::string>> unrewarded(Storage& storage, const MerchantIndex& merchant,
                                            std::string_view merchant_name, std::string_view user,
                                            std::span<const std::string> tasks, Timestamp at);

/// The pipelines under which a stage's reward may have been issued, or taken back: this version's, and those
/// of the versions it took users over from.
[[nodiscard]] std::vector<std::string> pipelines_of(const MerchantIndex& merchant, const CompiledTask& task,
                                                    std::int64_t stage, bool take_back);
/// How far the taking back of a reward has come; cancelled where there was nothing to take back.
Result<RunState> taken_back(Storage& storage, std::string_view partition, const GrantKey& grant,
                            std::string_view pipeline);

/// Whether a reward's run, or what takes it back, has ended without success.
[[nodiscard]] bool has_stopped(const GrantView& grant) noexcept;

/// A run as stored. Errors: corrupt.
Result<RunView> decode_run_view(const Record& record);
/// What makes an ended run that has not succeeded go on where it stopped; it keeps who asked for it, and why.
/// Errors: corrupt, wrong_state (it was undone), exhausted (it keeps no more acts).
Result<Operation> push_on(const Record& record, const std::string& actor, const std::string& reason,
                          Timestamp now);
/// What a reward's run has given, as far as its record tells.
enum class Given : std::uint8_t {
  nothing,
  something,
  unknown,  ///< it goes on, or an effect of it is in doubt
};
/// Errors: corrupt.
Result<Given> given_by(const Record& record);
/// Ends for good a run that has stopped short of success: nobody who pushes on what failed finds it then.
/// Errors: corrupt.
Result<Operation> call_off(const Record& record);

}  // namespace onceward::task_detail
