#pragma once
#include <onceward/storage/partitions.hpp>
#include <onceward/storage/storage.hpp>

#include <array>
#include <functional>
#include <mutex>
#include <optional>
#include <string_view>
#include <vector>

namespace onceward::testing {

/// Wraps a storage and makes chosen calls go wrong, as networks, disks and kill -9 do. Safe from any thread.
class FaultyStorage final : public Storage, public PartitionLister {
 public:
  enum class Call : std::uint8_t { commit, read, scan, due };
  enum class Fault : std::uint8_t {
    before,  ///< the call fails and never reaches the storage: nothing happened
    after,   ///< the call is carried out and its answer lost
  };

  explicit FaultyStorage(Storage& inner) noexcept : inner_(inner) {}

  /// Lets `skip` calls of this kind pass, then fails the next `count` with `code`.
  void fail_calls(Call call, Fault fault, ErrorCode code, std::size_t count = 1, std::size_t skip = 0);
  /// Forgets what fail_calls asked for.
  void heal();
  /// Calls `hook` with "commit.before", "commit.after", "read.before", ... on the caller's thread: to kill
  /// the process there, or to let a rival write in between.
  void on_call(std::function<void(std::string_view point)> hook);
  /// Calls of this kind so far, the failed ones included.
  [[nodiscard]] std::size_t calls(Call call) const;

  Result<CommitAnswer> commit(std::span<const Batch> batches) override;
  Result<ReadAnswer> read(std::span<const RecordRef> records) override;
  Result<ScanPage> scan(std::string_view partition, std::string_view prefix, std::string_view cursor,
                        std::size_t limit) override;
  Result<DuePage> due(std::span<const Shard> shards, std::size_t limit) override;
  [[nodiscard]] Shard shard_count() const noexcept override { return inner_.shard_count(); }
  /// Never goes wrong by itself.
  Result<PartitionPage> partitions(std::string_view cursor, std::size_t limit) override {
    return list_partitions(inner_, cursor, limit);
  }

 private:
  struct Rule {
    Call call;
    Fault fault;
    ErrorCode code;
    std::size_t count;
    std::size_t skip;
  };
  template <class Work>
  auto pass(Call call, const Work& work) -> decltype(work());
  std::optional<Rule> next_rule(Call call);
  void reach(Call call, std::string_view side);

  Storage& inner_;
  mutable std::mutex mutex_;
  std::vector<Rule> rules_;
  std::array<std::size_t, 4> calls_{};
  std::function<void(std::string_view)> hook_;
};

}  // namespace onceward::testing
