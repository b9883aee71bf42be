#include "storage/redis/calls.hpp"

#include <onceward/core/digest.hpp>

#include "storage/redis/errors.hpp"
#include "storage/redis/record_text.hpp"

#include <fmt/format.h>

#include <charconv>

namespace onceward::redis::detail {
namespace {

/// Of one script call: the server does nothing else meanwhile.
constexpr std::size_t most_operations_of_shard = 512;
constexpr std::size_t most_bytes_of_shard = std::size_t{8} << 20;
/// Where shards share a call; beyond it a call more costs little.
constexpr std::size_t most_operations_together = 128;
constexpr std::size_t most_bytes_together = std::size_t{1} << 20;

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

std::size_t bytes_of(const Batch& batch) noexcept {
  std::size_t bytes = batch.partition.size();
  for (const auto& operation : batch.operations) {
    bytes += batch.partition.size() + operation.key.size() + operation.value.size();
  }
  return bytes;
}

/// Makes as few calls as may be of a wave's, each of which has one shard.
void join(std::vector<Call>& wave) {
  std::vector<Call> joined;
  for (auto& call : wave) {
    if (joined.empty() || joined.back().operations + call.operations > most_operations_together ||
        joined.back().bytes + call.bytes > most_bytes_together) {
      joined.push_back(std::move(call));
      continue;
    }
    auto& with = joined.back();
    with.places.insert(with.places.end(), call.places.begin(), call.places.end());
    with.operations += call.operations;
    with.bytes += call.bytes;
  }
  wave = std::move(joined);
}

/// Of batches in a call's order: where those of the next shard begin.
std::size_t end_of_shard(const Call& call, std::size_t from) noexcept {
  auto end = from + 1;
  while (end < call.places.size() && call.places[end].shard == call.places[from].shard) ++end;
  return end;
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

std::optional<Timestamp> time_of(const redisReply& reply) noexcept {
  const auto number = number_of(text_of(reply));
  return number ? std::optional(Timestamp(Duration(*number))) : std::nullopt;
}

std::vector<std::vector<Call>> waves_of(std::span<const Batch* const> batches, Shard shards, bool together) {
  std::vector<std::vector<Call>> waves;
  if (batches.size() == 1) {
    waves.push_back({Call{{{shard_of(batches[0]->partition, shards), 0}}}});
    return waves;
  }
  constexpr auto nothing = static_cast<std::size_t>(-1);
  std::vector<std::size_t> wave_of(shards, 0);
  std::vector<std::size_t> call_of(shards, nothing);
  for (std::size_t i = 0; i < batches.size(); ++i) {
    const auto shard = shard_of(batches[i]->partition, shards);
    const auto operations = batches[i]->operations.size();
    auto& wave = wave_of[shard];
    auto& place = call_of[shard];
    const auto bytes = bytes_of(*batches[i]);
    if (place != nothing && (waves[wave][place].operations + operations > most_operations_of_shard ||
                             waves[wave][place].bytes + bytes > most_bytes_of_shard)) {
      ++wave;
      place = nothing;
    }
    if (wave == waves.size()) waves.emplace_back();
    if (place == nothing) {
      place = waves[wave].size();
      waves[wave].emplace_back();
    }
    auto& call = waves[wave][place];
    call.places.push_back({shard, i});
    call.operations += operations;
    call.bytes += bytes;
  }
  if (together) {
    for (auto& wave : waves) join(wave);
  }
  return waves;
}

/// As many keys and arguments must follow.
void Calls::begin(CommandWriter& writer, const Script& script, std::size_t keys,
                  std::size_t arguments) const {
  writer.begin(3 + keys + 2 + arguments);
  writer.word("EVALSHA");
  writer.word(script.sha1);
  writer.number(static_cast<std::int64_t>(keys));
}

/// What every script gets after its keys.
void Calls::begin_arguments(CommandWriter& writer) const {
  writer.word(id_);
  if (clock_ == nullptr) {
    writer.word({});
  } else {
    writer.number(clock_->now().time_since_epoch().count());
  }
}

Request Calls::commit(std::span<const Batch* const> batches, const Call& call) const {
  Request request{call.places.front().shard, {}, false, true};
  const auto batch_at = [&](std::size_t at) -> const Batch& { return *batches[call.places[at].batch]; };
  std::size_t shards = 0;
  std::size_t operations = 0;
  std::size_t arguments = 0;
  std::size_t bytes = 512;
  for (std::size_t at = 0; at < call.places.size(); ++at) {
    const auto& batch = batch_at(at);
    if (at == 0 || call.places[at].shard != call.places[at - 1].shard) ++shards;
    operations += batch.operations.size();
    for (const auto& operation : batch.operations) arguments += arguments_of(operation);
    bytes += bytes_of(batch) + (4 + batch.operations.size()) * (bases_[0].size() + 128);
  }
  const std::size_t strings = shards + operations;
  request.command.reserve(bytes);
  CommandWriter writer(request.command);
  begin(writer, scripts_.commit, strings + 2 * shards + call.places.size(),
        1 + shards + call.places.size() + arguments);
  std::string name;
  for (std::size_t from = 0, end = 0; from < call.places.size(); from = end) {
    end = end_of_shard(call, from);
    const auto& base = bases_[call.places[from].shard];
    writer.word(name.assign(base).append(":high"));
    for (auto at = from; at < end; ++at) {
      const auto& batch = batch_at(at);
      for (const auto& operation : batch.operations) {
        name.assign(base).append(":record:");
        append_record_id(name, batch.partition, operation.key);
        writer.word(name);
      }
    }
  }
  for (std::size_t from = 0, end = 0; from < call.places.size(); from = end) {
    end = end_of_shard(call, from);
    const auto& base = bases_[call.places[from].shard];
    writer.word(name.assign(base).append(":due"));
    writer.word(name.assign(base).append(":expiry"));
    for (auto at = from; at < end; ++at) {
      writer.word(name.assign(base).append(":keys:").append(batch_at(at).partition));
    }
  }
  begin_arguments(writer);
  writer.number(static_cast<std::int64_t>(strings));
  for (std::size_t from = 0, end = 0; from < call.places.size(); from = end) {
    end = end_of_shard(call, from);
    writer.number(static_cast<std::int64_t>(end - from));
    for (auto at = from; at < end; ++at) {
      writer.number(static_cast<std::int64_t>(batch_at(at).operations.size()));
      for (const auto& operation : batch_at(at).operations) write_operation(writer, operation);
    }
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
  begin(writer, scripts_.scan, 2, 5);
  writer.word(bases_[shard] + ":high");
  writer.word(fmt::format("{}:keys:{}", bases_[shard], partition));
  begin_arguments(writer);
  writer.word(bases_[shard]);
  writer.word(partition);
  writer.word(prefix);
  writer.word(!cursor.empty() && cursor >= prefix ? fmt::format("({}", cursor) : fmt::format("[{}", prefix));
  writer.number(static_cast<std::int64_t>(limit));
  return request;
}

Request Calls::due(Shard shard, std::size_t limit) const {
  Request request{shard, {}};
  CommandWriter writer(request.command);
  begin(writer, scripts_.due, 2, 2);
  writer.word(bases_[shard] + ":high");
  writer.word(bases_[shard] + ":due");
  begin_arguments(writer);
  writer.word(bases_[shard]);
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

std::vector<Result<TimedAnswer>> answers_of(Request& request, std::span<const Batch* const> batches,
                                            const Call& call) {
  std::vector<Result<TimedAnswer>> answers;
  const auto all_failed = [&](const Error& error) {
    answers.assign(call.places.size(), fail(error));
    return answers;
  };
  if (!request.answer) return all_failed(request.error);
  if (is_error(*request.answer)) return all_failed(script_error(text_of(*request.answer), "committing"));
  const auto shards = elements_of(*request.answer);
  std::size_t shard = 0;
  for (std::size_t from = 0, end = 0; from < call.places.size(); from = end, ++shard) {
    end = end_of_shard(call, from);
    const auto parts = shard < shards.size() ? elements_of(*shards[shard]) : std::span<redisReply* const>();
    const auto now = parts.empty() ? std::nullopt : time_of(*parts[0]);
    if (!now || parts.size() != end - from + 1) return all_failed(corrupt("the answer of a script"));
    for (auto at = from; at < end; ++at) {
      auto answer = to_answer(*parts[at - from + 1], *batches[call.places[at].batch]);
      answer ? answers.emplace_back(TimedAnswer{*now, *std::move(answer)})
             : answers.emplace_back(fail(std::move(answer).error()));
    }
  }
  return answers;
}

}  // namespace onceward::redis::detail
