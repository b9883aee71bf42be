#pragma once
#include <onceward/storage/storage.hpp>

#include "storage/redis/command.hpp"
#include "storage/redis/router.hpp"
#include "storage/redis/scripts.hpp"

#include <string>
#include <vector>

// What the scripts are sent, and what they answer.
namespace onceward::redis::detail {

/// The batches of one script call, by their places in the span.
struct Call {
  Shard shard;
  std::vector<std::size_t> places;
  std::size_t operations = 0;
};

/// The calls of a span. Batches of one shard keep their order: they are in one call, or in calls of which
/// each waits for the one before (a wave), since a redirected call may be overtaken by the next.
std::vector<std::vector<Call>> waves_of(std::span<const Batch> batches, Shard shards);

/// Writes script calls for the shards of one storage.
class Calls {
 public:
  Calls(std::vector<std::string> bases, Scripts scripts, std::string id, const Clock* clock)
      : bases_(std::move(bases)), scripts_(std::move(scripts)), id_(std::move(id)), clock_(clock) {}

  [[nodiscard]] Shard shards() const noexcept { return static_cast<Shard>(bases_.size()); }
  [[nodiscard]] const std::string& id() const noexcept { return id_; }
  /// Null: the server's time counts.
  [[nodiscard]] const Clock* clock() const noexcept { return clock_; }

  [[nodiscard]] Request commit(std::span<const Batch> batches, const Call& call) const;
  /// The records of these places, all of one shard, behind its `high` key.
  [[nodiscard]] Request read(Shard shard, std::span<const RecordRef> records,
                             std::span<const std::size_t> places) const;
  [[nodiscard]] Request scan(Shard shard, std::string_view partition, std::string_view prefix,
                             std::string_view cursor, std::size_t limit) const;
  [[nodiscard]] Request due(Shard shard, std::size_t limit) const;
  [[nodiscard]] Request high(Shard shard) const;
  /// A page of the keys that list a partition's, of all shards on one server; and what tells this server from
  /// another one.
  [[nodiscard]] Request lists(std::string_view cursor, std::size_t limit) const;
  [[nodiscard]] static Request server();
  /// The partition whose list this key is; empty where it is none.
  [[nodiscard]] std::string_view partition_of(std::string_view list) const noexcept;

 private:
  void begin(CommandWriter& writer, const Script& script, std::size_t keys, std::size_t arguments) const;
  void begin_arguments(CommandWriter& writer, Shard shard) const;

  std::vector<std::string> bases_;
  Scripts scripts_;
  std::string id_;
  const Clock* clock_;
};

/// What a commit's script answered of one batch: {1, revision, counter...} or {0, index, record or nil}.
Result<BatchAnswer> to_answer(const redisReply& reply, const Batch& batch);

/// A decimal 64-bit number and nothing else.
std::optional<std::int64_t> number_of(std::string_view text) noexcept;
/// "Redis: WHAT is not what this version writes"
Error corrupt(std::string_view what);

}  // namespace onceward::redis::detail
