#include <onceward/core/digest.hpp>
#include <onceward/storage/storage.hpp>

#include "storage/reserved.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace onceward {
namespace {

template <class... Args>
Unexpected refuse(fmt::format_string<Args...> text, Args&&... args) {
  return fail(ErrorCode::invalid_argument, fmt::format(text, std::forward<Args>(args)...));
}

Result<void> check_partition(std::string_view partition) {
  if (partition.empty()) return refuse("the partition is empty; name one, such as \"merchant/user\"");
  if (partition.size() > limits::partition_bytes) {
    return refuse("the partition has {} bytes, at most {} are allowed", partition.size(),
                  limits::partition_bytes);
  }
  return {};
}

Result<void> check_key(std::string_view key) {
  if (key.empty()) return refuse("the key is empty");
  if (key.size() > limits::key_bytes) {
    return refuse("the key has {} bytes, at most {} are allowed", key.size(), limits::key_bytes);
  }
  return {};
}

Result<void> check_duration(const std::optional<Duration>& duration, std::string_view what) {
  if (duration && (duration->count() < 0 || duration->count() > limits::duration_us)) {
    return refuse("{} is {} us; it must lie between 0 and {} us", what, duration->count(),
                  limits::duration_us);
  }
  return {};
}

std::size_t most_value_bytes(std::string_view value) noexcept {
  const bool moved = value.starts_with(storage_detail::moved_mark);
  return limits::value_bytes + (moved ? storage_detail::moved_mark_bytes : 0);
}

/// What is counted against a caller's limits: a decorator's own record beside his is not.
template <class Items>
std::size_t count_of(const Items& items) noexcept {
  return static_cast<std::size_t>(std::count_if(items.begin(), items.end(), [](const auto& item) {
    return !storage_detail::is_reserved_key(item.key);
  }));
}

/// Revisions are microseconds since 1970, or a little more: of the year 2255.
constexpr Revision most_known = (Revision{1} << 53) - 2;

Result<void> check_operation(const Operation& operation) {
  if (auto key = check_key(operation.key); !key) return key;
  if (operation.value.size() > most_value_bytes(operation.value)) {
    return refuse("the value of key \"{}\" has {} bytes, at most {} are allowed", operation.key,
                  operation.value.size(), limits::value_bytes);
  }
  using Kind = Operation::Kind;
  if ((operation.kind == Kind::replace || operation.kind == Kind::remove) && operation.expected <= absent) {
    return refuse("key \"{}\" expects revision {}; replace and remove need the revision that was read",
                  operation.key, operation.expected);
  }
  if (operation.kind == Kind::insert && (operation.expected < absent || operation.expected > most_known)) {
    return refuse("key \"{}\" is inserted again after revision {}; no storage gives one above {}",
                  operation.key, operation.expected, most_known);
  }
  if (operation.kind == Kind::add && operation.least > operation.most) {
    return refuse("the counter \"{}\" has bounds {}..{}, which no number meets", operation.key,
                  operation.least, operation.most);
  }
  if (auto due = check_duration(operation.timing.due_in, "due_in"); !due) return due;
  return check_duration(operation.timing.expires_in, "expires_in");
}

Result<void> check_distinct_keys(const Batch& batch) {
  constexpr std::size_t few = 16;
  const auto& operations = batch.operations;
  if (operations.size() <= few) {
    for (std::size_t i = 1; i < operations.size(); ++i) {
      for (std::size_t j = 0; j < i; ++j) {
        if (operations[i].key == operations[j].key) {
          return refuse("key \"{}\" stands twice in one batch", operations[i].key);
        }
      }
    }
    return {};
  }
  std::vector<std::string_view> keys;
  keys.reserve(operations.size());
  for (const auto& operation : operations) keys.push_back(operation.key);
  std::sort(keys.begin(), keys.end());
  const auto twice = std::adjacent_find(keys.begin(), keys.end());
  if (twice != keys.end()) return refuse("key \"{}\" stands twice in one batch", *twice);
  return {};
}

Result<void> check_batch(const Batch& batch) {
  if (auto partition = check_partition(batch.partition); !partition) return partition;
  if (batch.operations.empty()) return refuse("the batch of partition \"{}\" is empty", batch.partition);
  if (batch.operations.size() > limits::batch_operations &&
      count_of(batch.operations) > limits::batch_operations) {
    return refuse("the batch of partition \"{}\" has {} operations, at most {} are allowed", batch.partition,
                  batch.operations.size(), limits::batch_operations);
  }
  for (const auto& operation : batch.operations) {
    if (auto checked = check_operation(operation); !checked) return checked;
  }
  return check_distinct_keys(batch);
}

}  // namespace

Shard Storage::shard_of(std::string_view partition) const noexcept {
  return static_cast<Shard>(stable_hash(partition) % shard_count());
}

Result<void> check_commit(std::span<const Batch> batches) {
  if (batches.size() > limits::span_batches) {
    return refuse("the span has {} batches, at most {} are allowed", batches.size(), limits::span_batches);
  }
  for (std::size_t i = 0; i < batches.size(); ++i) {
    if (auto checked = check_batch(batches[i]); !checked) {
      return std::move(checked).transform_error([&](Error error) {
        if (batches.size() > 1) error.message = fmt::format("batch {} of the span: {}", i, error.message);
        return error;
      });
    }
  }
  return {};
}

Result<void> check_read(std::span<const RecordRef> records) {
  if (records.size() > limits::span_reads && count_of(records) > limits::span_reads) {
    return refuse("the read names {} records, at most {} are allowed", records.size(), limits::span_reads);
  }
  for (const auto& record : records) {
    if (auto partition = check_partition(record.partition); !partition) return partition;
    if (auto key = check_key(record.key); !key) return key;
  }
  return {};
}

Result<void> check_scan(std::string_view partition, std::string_view prefix, std::string_view cursor,
                        std::size_t limit) {
  if (auto checked = check_partition(partition); !checked) return checked;
  if (prefix.size() > limits::key_bytes || cursor.size() > limits::key_bytes) {
    return refuse("the prefix or cursor of a scan is longer than a key, {} bytes", limits::key_bytes);
  }
  if (limit == 0 || limit > limits::page_records) {
    return refuse("a scan of {} records; ask for 1 to {}", limit, limits::page_records);
  }
  return {};
}

Result<void> check_due(std::span<const Shard> shards, std::size_t limit, Shard shard_count) {
  if (limit == 0 || limit > limits::page_records) {
    return refuse("a page of {} due records; ask for 1 to {}", limit, limits::page_records);
  }
  for (const Shard shard : shards) {
    if (shard >= shard_count)
      return refuse("shard {} does not exist; the storage has {}", shard, shard_count);
  }
  return {};
}

Result<BatchAnswer> commit_one(Storage& storage, const Batch& batch) {
  auto answer = storage.commit({&batch, 1});
  if (!answer) return fail(std::move(answer).error());
  return std::move(answer->batches.front());
}

Result<std::optional<Record>> read_one(Storage& storage, std::string_view partition, std::string_view key) {
  const RecordRef record{partition, key};
  auto answer = storage.read({&record, 1});
  if (!answer) return fail(std::move(answer).error());
  return std::move(answer->records.front());
}

}  // namespace onceward
