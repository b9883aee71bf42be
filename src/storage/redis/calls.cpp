#include "storage/redis/calls.hpp"

#include <onceward/core/digest.hpp>

#include "storage/redis/errors.hpp"
#include "storage/redis/record_text.hpp"

#include <fmt/format.h>

#include <charconv>

namespace onceward::redis::detail {
namespace {

/// Of one script call: the server does nothing else meanwhile.
constexpr std::size_t most_operations_per_call = 512;

Shard shard_of(std::string_view partition, Shard shards) noexcept {
  return static_cast<Shard>(stable_hash(partition) % shards);
}

/// How many arguments an operation is.
std::size_t arguments_of(const Operation& operation) noexcept {
  switch (operation.kind) {
    case Operation::Kind::insert: return operation.expected == absent ? 4 : 5;
    case Operation::Kind::replace: return 5;
    case Operation::Kind::add: return 6;
    case Operation::Kind::remove:
    case Operation::Kind::require: return 2;
  }
  return 0;
}

void write_after(CommandWriter& writer, const std::optional<Duration>& after) {
  if (after) {
    writer.number(after->count());
  } else {
    writer.word({});
  }
}

void write_operation(CommandWriter& writer, const Operation& operation) {
  using Kind = Operation::Kind;
  const auto kind = [&](Kind of) -> std::string_view {
    switch (of) {
      case Kind::insert: return operation.expected == absent ? "i" : "n";
      case Kind::replace: return "r";
      case Kind::remove: return "d";
      case Kind::require: return "q";
      case Kind::add: return "a";
    }
    return "?";
  };
  writer.word(kind(operation.kind));
  if (operation.kind == Kind::add) {
    writer.number(operation.delta);
    writer.number(operation.least);
    writer.number(operation.most);
  } else if (operation.kind != Kind::insert || operation.expected != absent) {
    writer.number(operation.expected);
  }
  if (operation.kind == Kind::remove || operation.kind == Kind::require) return;
  if (operation.kind != Kind::add) writer.word(operation.value);
  write_after(writer, operation.timing.due_in);
  write_after(writer, operation.timing.expires_in);
}

}  // namespace

Error corrupt(std::string_view what) {
  return {ErrorCode::corrupt,
          fmt::format("Redis: {} is not what this version writes; look at it before going on", what)};
}

std::optional<std::int64_t> number_of(std::string_view text) noexcept {
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

std::vector<std::vector<Call>> waves_of(std::span<const Batch> batches, Shard shards) {
  std::vector<std::vector<Call>> waves;
  if (batches.size() == 1) {
    waves.push_back({Call{shard_of(batches[0].partition, shards), {0}}});
    return waves;
  }
  constexpr auto nothing = static_cast<std::size_t>(-1);
  std::vector<std::size_t> wave_of(shards, 0);
  std::vector<std::size_t> call_of(shards, nothing);
  for (std::size_t i = 0; i < batches.size(); ++i) {
    const auto shard = shard_of(batches[i].partition, shards);
    const auto operations = batches[i].operations.size();
    auto& wave = wave_of[shard];
    auto& call = call_of[shard];
    if (call != nothing && waves[wave][call].operations + operations > most_operations_per_call) {
      ++wave;
      call = nothing;
    }
    if (wave == waves.size()) waves.emplace_back();
    if (call == nothing) {
      call = waves[wave].size();
      waves[wave].push_back({shard, {}});
    }
    waves[wave][call].places.push_back(i);
    waves[wave][call].operations += operations;
  }
  return waves;
}

/// As many keys and arguments must follow.
void Calls::begin(CommandWriter& writer, const Script& script, std::size_t keys,
                  std::size_t arguments) const {
  writer.begin(3 + keys + 3 + arguments);
  writer.word("EVALSHA");
  writer.word(script.sha1);
  writer.number(static_cast<std::int64_t>(keys));
}

/// What every script gets after its keys.
void Calls::begin_arguments(CommandWriter& writer, Shard shard) const {
  writer.word(id_);
  if (clock_ == nullptr) {
    writer.word({});
  } else {
    writer.number(clock_->now().time_since_epoch().count());
  }
  writer.word(bases_[shard]);
}

Request Calls::commit(std::span<const Batch> batches, const Call& call) const {
  Request request{call.shard, {}, false, true};
  const auto& base = bases_[call.shard];
  std::size_t keys = 3;
  std::size_t arguments = 0;
  std::size_t bytes = 512;
  for (const auto place : call.places) {
    const auto& batch = batches[place];
    keys += 1 + batch.operations.size();
    arguments += 2;
    for (const auto& operation : batch.operations) {
      arguments += arguments_of(operation);
      bytes += base.size() + batch.partition.size() + operation.key.size() + operation.value.size() + 128;
    }
  }
  request.command.reserve(bytes);
  CommandWriter writer(request.command);
  begin(writer, scripts_.commit, keys, arguments);
  writer.word(base + ":high");
  writer.word(base + ":due");
  writer.word(base + ":expiry");
  std::string name;
  for (const auto place : call.places) {
    const auto& batch = batches[place];
    writer.word(name.assign(base).append(":keys:").append(batch.partition));
    for (const auto& operation : batch.operations) {
      name.assign(base).append(":record:");
      append_record_id(name, batch.partition, operation.key);
      writer.word(name);
    }
  }
  begin_arguments(writer, call.shard);
  for (const auto place : call.places) {
    writer.word(batches[place].partition);
    writer.number(static_cast<std::int64_t>(batches[place].operations.size()));
    for (const auto& operation : batches[place].operations) write_operation(writer, operation);
  }
  return request;
}

Request Calls::read(Shard shard, std::span<const RecordRef> records,
                    std::span<const std::size_t> places) const {
  Request request{shard, {}, clock_ == nullptr};
  const auto& base = bases_[shard];
  CommandWriter writer(request.command);
  writer.begin(places.size() + 2);
  writer.word("MGET");
  writer.word(base + ":high");
  std::string name;
  for (const auto place : places) {
    name.assign(base).append(":record:");
    append_record_id(name, records[place].partition, records[place].key);
    writer.word(name);
  }
  return request;
}

Request Calls::scan(Shard shard, std::string_view partition, std::string_view prefix, std::string_view cursor,
                    std::size_t limit) const {
  Request request{shard, {}};
  CommandWriter writer(request.command);
  begin(writer, scripts_.scan, 2, 4);
  writer.word(bases_[shard] + ":high");
  writer.word(fmt::format("{}:keys:{}", bases_[shard], partition));
  begin_arguments(writer, shard);
  writer.word(partition);
  writer.word(prefix);
  writer.word(!cursor.empty() && cursor >= prefix ? fmt::format("({}", cursor) : fmt::format("[{}", prefix));
  writer.number(static_cast<std::int64_t>(limit));
  return request;
}

Request Calls::due(Shard shard, std::size_t limit) const {
  Request request{shard, {}};
  CommandWriter writer(request.command);
  begin(writer, scripts_.due, 2, 1);
  writer.word(bases_[shard] + ":high");
  writer.word(bases_[shard] + ":due");
  begin_arguments(writer, shard);
  writer.number(static_cast<std::int64_t>(limit));
  return request;
}

Request Calls::high(Shard shard) const {
  Request request{shard, {}, clock_ == nullptr};
  CommandWriter(request.command).command({"GET", bases_[shard] + ":high"});
  return request;
}

Request Calls::lists(std::string_view cursor, std::size_t limit) const {
  // "prefix:{0}" without its number; what a pattern would take for more than itself is taken out of it.
  std::string pattern;
  for (const char c : std::string_view(bases_.front()).substr(0, bases_.front().size() - 2)) {
    if (std::string_view("*?[]\\^-").find(c) != std::string_view::npos) pattern.push_back('\\');
    pattern.push_back(c);
  }
  pattern += "*}:keys:*";
  Request request;
  CommandWriter(request.command).command({"SCAN", cursor, "MATCH", pattern, "COUNT", std::to_string(limit)});
  return request;
}

Request Calls::server() {
  Request request;
  CommandWriter(request.command).command({"INFO", "server"});
  return request;
}

std::string_view Calls::partition_of(std::string_view list) const noexcept {
  constexpr std::string_view middle = "}:keys:";
  const auto front = bases_.front().size() - 2;
  const auto found = list.find(middle, front);
  return found == std::string_view::npos ? std::string_view() : list.substr(found + middle.size());
}

Result<BatchAnswer> to_answer(const redisReply& reply, const Batch& batch) {
  const auto parts = elements_of(reply);
  if (parts.size() < 2 || !is_integer(*parts[0])) return fail(corrupt("the answer of a script"));
  BatchAnswer answer;
  if (parts[0]->integer == 1) {
    const auto revision = number_of(text_of(*parts[1]));
    if (!revision) return fail(corrupt("the answer of a script"));
    answer.revision = *revision;
    for (const auto* part : parts.subspan(2)) {
      const auto counter = number_of(text_of(*part));
      if (!counter) return fail(corrupt("the answer of a script"));
      answer.counters.push_back(*counter);
    }
    return answer;
  }
  answer.refused = static_cast<std::size_t>(parts[1]->integer);
  if (answer.refused >= batch.operations.size()) return fail(corrupt("the answer of a script"));
  if (parts[0]->integer == 3) return fail(gone("committing"));
  if (parts[0]->integer == 2) {
    return fail(corrupt(fmt::format("the record \"{}\"", batch.operations[answer.refused].key)));
  }
  if (parts.size() > 2 && is_text(*parts[2])) {
    const auto& key = batch.operations[answer.refused].key;
    answer.found = parse_record(key, text_of(*parts[2]));
    if (!answer.found) return fail(corrupt(fmt::format("the record \"{}\"", key)));
  }
  return answer;
}

}  // namespace onceward::redis::detail
