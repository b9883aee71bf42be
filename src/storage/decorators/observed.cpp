#include <onceward/storage/observed.hpp>
#include <onceward/storage/partitions.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>

namespace onceward {
namespace {

using SteadyClock = std::chrono::steady_clock;

class Observed final : public Storage, public PartitionLister {
 public:
  Observed(std::shared_ptr<Storage> inner, std::shared_ptr<StorageObserver> observer)
      : inner_(std::move(inner)), observer_(std::move(observer)) {}

  Result<CommitAnswer> commit(std::span<const Batch> batches) override {
    return pass(
        {.kind = StorageCall::Kind::commit, .items = batches.size()}, [&] { return inner_->commit(batches); },
        [](const CommitAnswer& answer, StorageCall& call) {
          call.refused = static_cast<std::size_t>(
              std::count_if(answer.batches.begin(), answer.batches.end(),
                            [](const BatchAnswer& batch) { return !batch.applied(); }));
        });
  }
  Result<ReadAnswer> read(std::span<const RecordRef> records) override {
    return pass(
        {.kind = StorageCall::Kind::read, .items = records.size()}, [&] { return inner_->read(records); },
        [](const ReadAnswer&, StorageCall&) {});
  }
  Result<ScanPage> scan(std::string_view partition, std::string_view prefix, std::string_view cursor,
                        std::size_t limit) override {
    return pass(
        {.kind = StorageCall::Kind::scan}, [&] { return inner_->scan(partition, prefix, cursor, limit); },
        [](const ScanPage& page, StorageCall& call) { call.items = page.records.size(); });
  }
  Result<DuePage> due(std::span<const Shard> shards, std::size_t limit) override {
    return pass(
        {.kind = StorageCall::Kind::due}, [&] { return inner_->due(shards, limit); },
        [](const DuePage& page, StorageCall& call) { call.items = page.entries.size(); });
  }
  [[nodiscard]] Shard shard_count() const noexcept override { return inner_->shard_count(); }
  Result<PartitionPage> partitions(std::string_view cursor, std::size_t limit) override {
    return list_partitions(*inner_, cursor, limit);
  }

 private:
  template <class Work, class Note>
  auto pass(StorageCall call, const Work& work, const Note& note) -> decltype(work()) {
    const auto begun = SteadyClock::now();
    auto answer = work();
    call.took = SteadyClock::now() - begun;
    if (answer) {
      note(*answer, call);
    } else {
      call.error = answer.error().code;
    }
    observer_->called(call);
    return answer;
  }

  std::shared_ptr<Storage> inner_;
  std::shared_ptr<StorageObserver> observer_;
};

std::size_t bucket_of(std::chrono::nanoseconds took) noexcept {
  const auto us = static_cast<std::uint64_t>(std::max<std::int64_t>(0, took.count() / 1000));
  return std::min<std::size_t>(static_cast<std::size_t>(std::bit_width(us)), StorageMetrics::buckets - 1);
}

void count(std::atomic<std::uint64_t>& counter, std::uint64_t by = 1) noexcept {
  counter.fetch_add(by, std::memory_order_relaxed);
}

}  // namespace

Result<std::unique_ptr<Storage>> observe(std::shared_ptr<Storage> inner,
                                         std::shared_ptr<StorageObserver> observer) {
  if (inner == nullptr || observer == nullptr) {
    return fail(ErrorCode::invalid_argument, "observe needs a storage and an observer; one is null");
  }
  return std::unique_ptr<Storage>(std::make_unique<Observed>(std::move(inner), std::move(observer)));
}

void StorageMetrics::called(const StorageCall& call) noexcept {
  auto& counters = counters_[static_cast<std::size_t>(call.kind)];
  count(counters.items, call.items);
  count(counters.refused, call.refused);
  if (call.error) count(counters.errors[static_cast<std::size_t>(*call.error)]);
  count(counters.latencies[bucket_of(call.took)]);
}

StorageMetrics::Figures StorageMetrics::figures(StorageCall::Kind kind) const noexcept {
  const auto& counters = counters_[static_cast<std::size_t>(kind)];
  Figures figures;
  figures.items = counters.items.load(std::memory_order_relaxed);
  figures.refused = counters.refused.load(std::memory_order_relaxed);
  for (std::size_t i = 0; i < error_codes; ++i) {
    figures.errors[i] = counters.errors[i].load(std::memory_order_relaxed);
    figures.failed += figures.errors[i];
  }
  for (std::size_t i = 0; i < buckets; ++i) {
    figures.latencies[i] = counters.latencies[i].load(std::memory_order_relaxed);
    figures.calls += figures.latencies[i];
  }
  return figures;
}

std::chrono::microseconds StorageMetrics::Figures::quantile(double part) const noexcept {
  if (calls == 0) return {};
  const auto wanted =
      static_cast<std::uint64_t>(std::ceil(std::clamp(part, 0.0, 1.0) * static_cast<double>(calls)));
  std::uint64_t met = 0;
  std::size_t bucket = 0;
  for (; bucket + 1 < buckets; ++bucket) {
    met += latencies[bucket];
    if (met >= std::max<std::uint64_t>(wanted, 1)) break;
  }
  return std::chrono::microseconds(std::int64_t{1} << bucket);
}

std::string StorageMetrics::table() const {
  constexpr std::array<std::string_view, StorageCall::kinds> names{"commit", "read", "scan", "due"};
  auto text = fmt::format("{:<8}{:>12}{:>12}{:>10}{:>8}{:>10}{:>10}  errors\n", "", "calls", "items",
                          "refused", "failed", "p50 us", "p99 us");
  for (std::size_t i = 0; i < names.size(); ++i) {
    const auto one = figures(static_cast<StorageCall::Kind>(i));
    text += fmt::format("{:<8}{:>12}{:>12}{:>10}{:>8}{:>10}{:>10} ", names[i], one.calls, one.items,
                        one.refused, one.failed, fmt::format("<{}", one.quantile(0.5).count()),
                        fmt::format("<{}", one.quantile(0.99).count()));
    for (std::size_t code = 0; code < error_codes; ++code) {
      if (one.errors[code] > 0)
        text += fmt::format(" {}={}", to_string(static_cast<ErrorCode>(code)), one.errors[code]);
    }
    text += "\n";
  }
  return text;
}

}  // namespace onceward
