#include "contract/broken_storage.hpp"

#include <onceward/storage/memory.hpp>

#include <algorithm>
#include <map>
#include <mutex>
#include <set>
#include <thread>

namespace {

using namespace onceward;
using Kind = Operation::Kind;

/// Gives rivals the time to come in between.
void dawdle() { std::this_thread::sleep_for(std::chrono::microseconds(100)); }

class BrokenStorage final : public Storage {
 public:
  BrokenStorage(Defect defect, const Clock& clock) : defect_(defect), clock_(clock) { renew(); }

  Result<CommitAnswer> commit(std::span<const Batch> batches) override {
    std::vector<Batch> span(batches.begin(), batches.end());
    for (auto& batch : span) change(batch);
    if (defect_ == Defect::span_backwards) std::reverse(span.begin(), span.end());
    if (defect_ == Defect::batches_checked_one_by_one || defect_ == Defect::refusal_ends_span)
      return one_by_one(span);
    const bool loses = defect_ == Defect::last_batch_lost && span.size() > 1;
    const auto inner = storage();
    auto answer = inner->commit(std::span(span).first(span.size() - (loses ? 1 : 0)));
    if (!answer) return answer;
    if (loses) answer->batches.push_back({.revision = answer->batches.back().revision + 1});
    for (std::size_t i = 0; i < span.size(); ++i) spoil(*inner, span[i], answer->batches[i]);
    if (defect_ == Defect::span_backwards) std::reverse(answer->batches.begin(), answer->batches.end());
    if (defect_ == Defect::revisions_forgotten) forget(span);
    return answer;
  }

  Result<ReadAnswer> read(std::span<const RecordRef> records) override {
    if (defect_ == Defect::read_in_halves) return halves(records);
    auto answer = storage()->read(records);
    if (!answer) return answer;
    auto& found = answer->records;
    if (defect_ == Defect::clock_runs_back) answer->now -= std::chrono::seconds(1);
    if (defect_ == Defect::read_out_of_order) std::reverse(found.begin(), found.end());
    if (defect_ == Defect::read_skips_absent) std::erase(found, std::nullopt);
    if (defect_ == Defect::read_stale) {
      const std::lock_guard lock(mutex_);
      for (std::size_t i = 0; i < found.size(); ++i) {
        auto& old = seen_[{std::string(records[i].partition), std::string(records[i].key)}];
        std::swap(old, found[i]);
      }
    }
    return answer;
  }

  Result<ScanPage> scan(std::string_view partition, std::string_view prefix, std::string_view cursor,
                        std::size_t limit) override {
    auto page = storage()->scan(partition, prefix, cursor, limit);
    if (!page) return page;
    auto& records = page->records;
    if (defect_ == Defect::scan_by_signed_bytes) {
      std::sort(records.begin(), records.end(), [](const Record& a, const Record& b) {
        const auto less = [](char x, char y) {
          return static_cast<signed char>(x) < static_cast<signed char>(y);
        };
        return std::lexicographical_compare(a.key.begin(), a.key.end(), b.key.begin(), b.key.end(), less);
      });
    }
    if (defect_ == Defect::scan_loses_largest_byte) {
      std::erase_if(records, [&](const Record& record) {
        return record.key.size() > prefix.size() && record.key[prefix.size()] == '\xff';
      });
    }
    if (defect_ == Defect::cursor_skips_one && !cursor.empty() && !records.empty())
      records.erase(records.begin());
    if (defect_ == Defect::cursor_at_the_end && page->cursor.empty() && !records.empty()) {
      page->cursor = records.back().key;
    }
    return page;
  }

  Result<DuePage> due(std::span<const Shard> shards, std::size_t limit) override {
    auto page =
        storage()->due(defect_ == Defect::due_of_all_shards ? std::span<const Shard>() : shards, limit);
    if (!page) return page;
    auto& entries = page->entries;
    if (defect_ == Defect::due_unordered) std::reverse(entries.begin(), entries.end());
    if (defect_ == Defect::due_without_next) page->next.reset();
    if (defect_ == Defect::due_twice && !entries.empty()) entries.push_back(DuePage::Entry(entries.back()));
    return page;
  }

  [[nodiscard]] Shard shard_count() const noexcept override { return limits::default_shards; }

 private:
  void renew() { inner_ = std::shared_ptr<Storage>(open_memory({.clock = &clock_}).value()); }
  std::shared_ptr<Storage> storage() {
    const std::lock_guard lock(mutex_);
    return inner_;
  }
  std::optional<Record> find(const Batch& batch, const Operation& operation) {
    auto found = read_one(*storage(), batch.partition, operation.key);
    return found ? *found : std::nullopt;
  }

  /// Defects that are other operations than were asked for.
  void change(Batch& batch) {
    for (auto& operation : batch.operations) {
      change_content(operation);
      if (operation.key.empty() || batch.partition.empty()) continue;
      switch (operation.kind) {
        case Kind::insert: change_insert(batch, operation); break;
        case Kind::replace: change_replace(batch, operation); break;
        case Kind::remove: expect_present(batch, operation, Defect::remove_ignores_revision); break;
        case Kind::require: expect_present(batch, operation, Defect::require_ignored); break;
        case Kind::add: change_add(batch, operation); break;
      }
    }
  }

  void change_content(Operation& operation) const {
    auto& timing = operation.timing;
    if (defect_ == Defect::expiry_ignored) timing.expires_in.reset();
    if (defect_ == Defect::expiry_late && timing.expires_in) *timing.expires_in += Duration(1);
    if (defect_ == Defect::due_early && timing.due_in && timing.due_in->count() > 0)
      *timing.due_in -= Duration(1);
    if (defect_ == Defect::value_ends_at_zero) operation.value = operation.value.c_str();
    if (defect_ == Defect::too_long_is_cut) {
      operation.key = operation.key.substr(0, limits::key_bytes);
      operation.value = operation.value.substr(0, limits::value_bytes);
    }
  }

  void expect_present(const Batch& batch, Operation& operation, Defect defect) {
    if (defect_ != defect) return;
    const auto found = find(batch, operation);
    if (found || operation.kind == Kind::require) operation.expected = found ? found->revision : absent;
  }

  void change_insert(const Batch& batch, Operation& operation) {
    if (defect_ == Defect::insert_looks_then_writes) {
      if (find(batch, operation)) return;
      dawdle();
    } else if (defect_ != Defect::insert_overwrites) {
      return;
    }
    if (const auto found = find(batch, operation)) {
      operation = Operation::replace(operation.key, found->revision, operation.value, operation.timing);
    }
  }

  void change_replace(const Batch& batch, Operation& operation) {
    expect_present(batch, operation, Defect::replace_ignores_revision);
    const auto found = find(batch, operation);
    if (!found) return;
    auto& timing = operation.timing;
    const auto left = [&](const Timestamp& time) { return std::max(Duration(0), time - clock_.now()); };
    if (defect_ == Defect::replace_keeps_due && found->due && !timing.due_in)
      timing.due_in = left(*found->due);
    if (defect_ == Defect::replace_keeps_expiry && found->expires && !timing.expires_in) {
      timing.expires_in = left(*found->expires);
    }
  }

  void change_add(const Batch& batch, Operation& operation) {
    if (defect_ == Defect::counter_unbounded) {
      operation.least = std::numeric_limits<std::int64_t>::min();
      operation.most = std::numeric_limits<std::int64_t>::max();
    }
    const auto found = find(batch, operation);
    if (!found) return;
    const bool number =
        !found->value.empty() && found->value.find_first_not_of("-0123456789") == std::string::npos;
    if (defect_ == Defect::counter_of_text_is_zero && !number) {
      operation = Operation::replace(operation.key, found->revision, std::to_string(operation.delta));
    }
    if (defect_ == Defect::counter_looks_then_writes && number && found->value.size() < 9) {
      const auto sum = std::stoll(found->value) + operation.delta;
      dawdle();
      const auto late = find(batch, operation);
      // What was counted meanwhile is taken back: the sum was made of what was seen before.
      if (late && late->value.size() < 9) operation.delta = sum - std::stoll(late->value);
    }
    if (defect_ == Defect::add_times_anew && number && found->value.size() < 9) {
      operation =
          Operation::replace(operation.key, found->revision,
                             std::to_string(std::stoll(found->value) + operation.delta), operation.timing);
    }
  }

  /// Defects of what is answered, or done besides.
  void spoil(Storage& inner, const Batch& batch, BatchAnswer& answer) const {
    if (defect_ == Defect::counters_backwards) std::reverse(answer.counters.begin(), answer.counters.end());
    if (answer.applied()) return;
    if (defect_ == Defect::half_batch_stays && answer.refused > 0) {
      Batch half = batch;
      half.operations.resize(answer.refused);
      (void)commit_one(inner, half);
    }
    if (defect_ == Defect::nothing_found) answer.found.reset();
    if (defect_ == Defect::first_index_named) answer.refused = 0;
  }

  Result<CommitAnswer> one_by_one(const std::vector<Batch>& span) {
    const auto inner = storage();
    CommitAnswer all{clock_.now(), {}};
    bool ended = false;
    for (const auto& batch : span) {
      if (ended) {
        all.batches.push_back({.refused = 0});
        continue;
      }
      auto answer = commit_one(*inner, batch);
      if (!answer) return fail(answer.error());
      ended = defect_ == Defect::refusal_ends_span && !answer->applied();
      all.batches.push_back(std::move(*answer));
    }
    return all;
  }

  Result<ReadAnswer> halves(std::span<const RecordRef> records) {
    if (records.empty() || records.size() > 16) return storage()->read(records);
    ReadAnswer all{clock_.now(), {}};
    for (const auto& record : records) {
      auto found = read_one(*storage(), record.partition, record.key);
      if (!found) return fail(found.error());
      all.records.push_back(std::move(*found));
      dawdle();
    }
    return all;
  }

  /// Begins anew where the batches left nothing: what was given to the removed records is forgotten.
  void forget(const std::vector<Batch>& span) {
    const std::lock_guard lock(mutex_);
    for (const auto& batch : span) partitions_.insert(batch.partition);
    for (const auto& partition : partitions_) {
      const auto page = inner_->scan(partition, {}, {}, 1);
      if (!page || !page->records.empty()) return;
    }
    renew();
  }

  const Defect defect_;
  const Clock& clock_;
  std::mutex mutex_;
  std::shared_ptr<Storage> inner_;
  std::set<std::string> partitions_;
  std::map<std::pair<std::string, std::string>, std::optional<Record>> seen_;
};

}  // namespace

Result<std::unique_ptr<Storage>> open_broken(Defect defect, const Clock& clock) {
  return std::unique_ptr<Storage>(std::make_unique<BrokenStorage>(defect, clock));
}
