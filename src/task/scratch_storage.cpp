#include "task/scratch_storage.hpp"

#include <charconv>

namespace onceward::task_detail {
namespace {

std::optional<std::int64_t> number_of(const std::optional<Record>& record) {
  if (!record) return 0;
  std::int64_t number = 0;
  const auto* end = record->value.data() + record->value.size();
  const auto parsed = std::from_chars(record->value.data(), end, number);
  if (parsed.ec != std::errc() || parsed.ptr != end) return std::nullopt;
  return number;
}

}  // namespace

Result<std::optional<Record>> ScratchStorage::find(const std::string& partition, const std::string& key) {
  if (const auto known = written_.find({partition, key}); known != written_.end()) return known->second;
  auto record = read_one(below_, partition, key);
  if (record && *record) last_ = std::max(last_, (*record)->revision);
  return record;
}

Result<BatchAnswer> ScratchStorage::apply(const Batch& batch) {
  std::map<Name, std::optional<Record>> changed;
  BatchAnswer answer;
  std::vector<Record*> written;
  for (std::size_t i = 0; i < batch.operations.size(); ++i) {
    const auto& operation = batch.operations[i];
    auto found = find(batch.partition, operation.key);
    if (!found) return fail(std::move(found).error());
    auto& record = *found;
    const auto revision = record ? record->revision : absent;
    bool holds = revision == operation.expected;
    std::string value = operation.value;
    if (operation.kind == Operation::Kind::insert) holds = !record;
    if (operation.kind == Operation::Kind::add) {
      const auto before = number_of(record);
      std::int64_t sum = 0;
      holds = before && !__builtin_add_overflow(*before, operation.delta, &sum) && sum >= operation.least &&
              sum <= operation.most;
      if (holds) answer.counters.push_back(sum);
      value = std::to_string(sum);
    }
    if (!holds) return BatchAnswer{.refused = i, .found = std::move(record)};
    if (operation.kind == Operation::Kind::require) continue;
    if (operation.kind == Operation::Kind::remove) {
      changed[{batch.partition, operation.key}] = std::nullopt;
      continue;
    }
    changed[{batch.partition, operation.key}] = Record{operation.key, std::move(value)};
  }
  answer.revision = ++last_;
  for (auto& [name, record] : changed) {
    if (record) record->revision = answer.revision;
    written_.insert_or_assign(name, std::move(record));
  }
  return answer;
}

Result<CommitAnswer> ScratchStorage::commit(std::span<const Batch> batches) {
  if (auto checked = check_commit(batches); !checked) return fail(std::move(checked).error());
  const std::lock_guard lock(mutex_);
  CommitAnswer answer{now_, {}};
  for (const auto& batch : batches) {
    auto applied = apply(batch);
    if (!applied) return fail(std::move(applied).error());
    answer.batches.push_back(*std::move(applied));
  }
  return answer;
}

Result<ReadAnswer> ScratchStorage::read(std::span<const RecordRef> records) {
  const std::lock_guard lock(mutex_);
  auto answer = below_.read(records);
  if (!answer) return answer;
  answer->now = now_;
  for (std::size_t i = 0; i < records.size(); ++i) {
    auto& record = answer->records[i];
    if (record) last_ = std::max(last_, record->revision);
    const auto known = written_.find({std::string(records[i].partition), std::string(records[i].key)});
    if (known != written_.end()) record = known->second;
  }
  return answer;
}

Result<ScanPage> ScratchStorage::scan(std::string_view, std::string_view, std::string_view, std::size_t) {
  return ScanPage{now_, {}, {}};
}

Result<DuePage> ScratchStorage::due(std::span<const Shard>, std::size_t) { return DuePage{now_, {}, {}}; }

}  // namespace onceward::task_detail
