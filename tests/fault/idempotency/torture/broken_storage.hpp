#pragma once
#include <onceward/storage/storage.hpp>

#include <chrono>
#include <thread>

namespace torture {

/// What a guard over a BrokenStorage does wrong, to prove that the checker sees it.
enum class Broken : std::uint8_t {
  nothing,
  claims,       ///< reads, then writes its claim whatever came in between
  completions,  ///< completes and releases whoever holds the key now
  leases,       ///< forgets its lease: the next caller takes over at once
};

/// Takes the conditions out of a guard's writes. A claim and a renewal have a due time, the end of the lease;
/// a completion and a release have none.
class BrokenStorage final : public onceward::Storage {
 public:
  BrokenStorage(onceward::Storage& inner, Broken broken) noexcept : inner_(inner), broken_(broken) {}

  onceward::Result<onceward::CommitAnswer> commit(std::span<const onceward::Batch> batches) override {
    std::vector<onceward::Batch> changed(batches.begin(), batches.end());
    for (auto& batch : changed) {
      for (auto& operation : batch.operations) change(batch.partition, operation);
    }
    return inner_.commit(changed);
  }
  onceward::Result<onceward::ReadAnswer> read(std::span<const onceward::RecordRef> records) override {
    return inner_.read(records);
  }
  onceward::Result<onceward::ScanPage> scan(std::string_view partition, std::string_view prefix,
                                            std::string_view cursor, std::size_t limit) override {
    return inner_.scan(partition, prefix, cursor, limit);
  }
  onceward::Result<onceward::DuePage> due(std::span<const onceward::Shard> shards,
                                          std::size_t limit) override {
    return inner_.due(shards, limit);
  }
  [[nodiscard]] onceward::Shard shard_count() const noexcept override { return inner_.shard_count(); }

 private:
  void change(const std::string& partition, onceward::Operation& operation) {
    using onceward::Operation;
    const bool claim = operation.timing.due_in.has_value();
    if (claim && broken_ == Broken::leases) operation.timing.due_in = std::chrono::milliseconds(1);
    if (claim && broken_ == Broken::claims && operation.kind == Operation::Kind::insert) {
      const auto seen = onceward::read_one(inner_, partition, operation.key);
      if (seen && *seen) return;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));  // the gap every such guard has, made wide
      overwrite(partition, operation);
    }
    if (!claim && broken_ == Broken::completions) overwrite(partition, operation);
  }
  void overwrite(const std::string& partition, onceward::Operation& operation) {
    const auto now = onceward::read_one(inner_, partition, operation.key);
    if (!now || !*now) return;
    operation.kind = onceward::Operation::Kind::replace;
    operation.expected = (*now)->revision;
  }

  onceward::Storage& inner_;
  Broken broken_;
};

}  // namespace torture
