#pragma once
#include <onceward/storage/storage.hpp>

#include "storage/redis/command.hpp"
#include "storage/redis/router.hpp"
#include "storage/redis/scripts.hpp"

#include <span>
#include <string>
#include <vector>

// What the scripts are sent, and what they answer.
namespace onceward::redis::detail {

/// A batch in a script call.
struct Place {
  Shard shard;
  std::size_t batch;  ///< its place in the span
};

/// One script call: batches by shard, those of one shard in their order.
struct Call {
  std::vector<Place> places{};
  std::size_t operations = 0;
  std::size_t bytes = 0;  ///< of keys and values
};

/// The calls of a span. Those of one wave go together, a wave waits for the one before: a shard is in one
/// call of a wave, since a redirected call may be overtaken by the next. `together`: one server holds all
/// shards, and a call may have batches of many; else it has those of one.
std::vector<std::vector<Call>> waves_of(std::span<const Batch* const> batches, Shard shards, bool together);

/// Writes script calls for the shards of one storage.
class Calls {
 public:
  Calls(std::vector<std::string> bases, Scripts scripts, std::string id, const Clock* clock)
      : bases_(std::move(bases)), scripts_(std::move(scripts)), id_(std::move(id)), clock_(clock) {}

  [[nodiscard]] Shard shards() const noexcept { return static_cast<Shard>(bases_.size()); }
  [[nodiscard]] const std::string& id() const noexcept { return id_; }
  /// Null: the server's time counts.
  [[nodiscard]] const Clock* clock() const noexcept { return clock_; }

  [[nodiscard]] Request commit(std::span<const Batch* const> batches, const Call& call) const;
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
  void begin_arguments(CommandWriter& writer) const;

  std::vector<std::string> bases_;
  Scripts scripts_;
  std::string id_;
  const Clock* clock_;
};

/// What became of a batch, at the shard's time.
struct TimedAnswer {
  Timestamp now;
  BatchAnswer answer;
};
/// What a commit's script answered, see scripts.cpp, or why it did not: in the order of the call's places.
std::vector<Result<TimedAnswer>> answers_of(Request& request, std::span<const Batch* const> batches,
                                            const Call& call);

/// A decimal 64-bit number and nothing else.
std::optional<std::int64_t> number_of(std::string_view text) noexcept;
/// Microseconds since 1970.
std::optional<Timestamp> time_of(const redisReply& reply) noexcept;
/// "Redis: WHAT is not what this version writes"
Error corrupt(std::string_view what);

}  // namespace onceward::redis::detail
