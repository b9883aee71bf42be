#pragma once
#include <onceward/journal/journal.hpp>
#include <onceward/pipeline/runner.hpp>

#include "task/views.hpp"

#include <shared_mutex>

namespace onceward::task_detail {

/// Tells the journal what the ends of rewards' runs, and operators' acts on them, mean for their instances,
/// whoever drives them: a runner's own workers as well as events and work().
class RewardMoves final : public RunObserver {
 public:
  /// All of them must outlive it until close().
  RewardMoves(Storage& storage, const Merchants& merchants, Journal& journal)
      : storage_(storage), merchants_(merchants), journal_(journal) {}

  void moved(std::span<const RunMove> moves) noexcept override;
  /// Waits for what is being told; after it nothing is.
  void close();

 private:
  struct Told {
    const RunMove* move;
    GrantKey grant;
    std::shared_ptr<const MerchantIndex> merchant;
  };
  void tell_all(std::span<const RunMove> moves);

  Storage& storage_;
  const Merchants& merchants_;
  Journal& journal_;
  std::shared_mutex mutex_{};
  bool closed_ = false;
};

/// After a grant was found to be out of stock by a write of this revision: where that was the last its
/// instance waited for, that it has come to its end.
void tell_settled(Storage& storage, const MerchantIndex& merchant, const std::string& partition,
                  const GrantKey& grant, Revision revision, Journal& journal);

}  // namespace onceward::task_detail
