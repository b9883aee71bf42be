#include <onceward/storage/redis.hpp>

#include "storage/due_page.hpp"
#include "storage/redis/command.hpp"
#include "storage/redis/errors.hpp"
#include "storage/redis/record_text.hpp"
#include "storage/redis/setup.hpp"
#include "storage/url.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace onceward {
namespace {

using redis::detail::append_record_id;
using redis::detail::base_of;
using redis::detail::CommandWriter;
using redis::detail::elements_of;
using redis::detail::is_error;
using redis::detail::is_integer;
using redis::detail::is_text;
using redis::detail::parse_record;
using redis::detail::parse_record_id;
using redis::detail::Request;
using redis::detail::Router;
using redis::detail::Scripts;
using redis::detail::Setup;
using redis::detail::text_of;

/// Of one script call: the server does nothing else meanwhile.
constexpr std::size_t most_operations_per_call = 512;

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

/// The answer of TIME: seconds and microseconds.
std::optional<Timestamp> server_time(const redisReply& reply) noexcept {
  const auto parts = elements_of(reply);
  if (parts.size() != 2) return std::nullopt;
  const auto seconds = number_of(text_of(*parts[0]));
  const auto micros = number_of(text_of(*parts[1]));
  if (!seconds || !micros) return std::nullopt;
  return Timestamp(Duration(*seconds * 1'000'000 + *micros));
}

class RedisStorage final : public Storage {
 public:
  RedisStorage(std::unique_ptr<Router> router, Scripts scripts, Setup setup, const redis::Options& options)
      : router_(std::move(router)),
        scripts_(std::move(scripts)),
        id_(std::move(setup.id)),
        clock_(options.clock) {
    for (Shard shard = 0; shard < setup.shards; ++shard) bases_.push_back(base_of(options.prefix, shard));
  }

  Result<CommitAnswer> commit(std::span<const Batch> batches) override;
  Result<ReadAnswer> read(std::span<const RecordRef> records) override;
  Result<ScanPage> scan(std::string_view partition, std::string_view prefix, std::string_view cursor,
                        std::size_t limit) override;
  Result<DuePage> due(std::span<const Shard> shards, std::size_t limit) override;
  [[nodiscard]] Shard shard_count() const noexcept override { return static_cast<Shard>(bases_.size()); }

 private:
  /// The batches of one script call, by their places in the span.
  struct Call {
    Shard shard;
    std::vector<std::size_t> places;
    std::size_t operations = 0;
  };

  void write_now(CommandWriter& writer) const {
    if (clock_ == nullptr) {
      writer.word({});
    } else {
      writer.number(clock_->now().time_since_epoch().count());
    }
  }
  /// Begins a script's call; as many keys and arguments must follow.
  void begin_script(CommandWriter& writer, const redis::detail::Script& script, std::size_t keys,
                    std::size_t arguments) const {
    writer.begin(3 + keys + 3 + arguments);
    writer.word("EVALSHA");
    writer.word(script.sha1);
    writer.number(static_cast<std::int64_t>(keys));
  }
  /// What every script gets after its keys.
  void begin_arguments(CommandWriter& writer, Shard shard) const {
    writer.word(id_);
    write_now(writer);
    writer.word(bases_[shard]);
  }
  [[nodiscard]] Request commit_request(std::span<const Batch> batches, const Call& call) const;
  [[nodiscard]] std::vector<std::vector<Call>> waves_of(std::span<const Batch> batches) const;
  [[nodiscard]] Result<Timestamp> now_of(const Request& request, std::string_view high) const;
  [[nodiscard]] Result<Timestamp> storage_time();

  std::unique_ptr<Router> router_;
  Scripts scripts_;
  std::string id_;
  const Clock* clock_;
  std::vector<std::string> bases_;
};

/// How many arguments an operation is.
std::size_t arguments_of(const Operation& operation) noexcept {
  switch (operation.kind) {
    case Operation::Kind::insert: return 4;
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
  const auto kind = [](Kind of) -> std::string_view {
    switch (of) {
      case Kind::insert: return "i";
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
  } else if (operation.kind != Kind::insert) {
    writer.number(operation.expected);
  }
  if (operation.kind == Kind::remove || operation.kind == Kind::require) return;
  if (operation.kind != Kind::add) writer.word(operation.value);
  write_after(writer, operation.timing.due_in);
  write_after(writer, operation.timing.expires_in);
}

Request RedisStorage::commit_request(std::span<const Batch> batches, const Call& call) const {
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
  begin_script(writer, scripts_.commit, keys, arguments);
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

/// Batches of one shard keep their order: they are in one call, or in calls of which each waits for the one
/// before, since a redirected call may be overtaken by the next.
std::vector<std::vector<RedisStorage::Call>> RedisStorage::waves_of(std::span<const Batch> batches) const {
  std::vector<std::vector<Call>> waves;
  if (batches.size() == 1) {
    waves.push_back({Call{shard_of(batches[0].partition), {0}}});
    return waves;
  }
  constexpr auto nothing = static_cast<std::size_t>(-1);
  std::vector<std::size_t> wave_of(shard_count(), 0);
  std::vector<std::size_t> call_of(shard_count(), nothing);
  for (std::size_t i = 0; i < batches.size(); ++i) {
    const auto shard = shard_of(batches[i].partition);
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

/// {1, revision, counter...} or {0, index, record or nil}.
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
  if (parts.size() > 2 && is_text(*parts[2])) {
    const auto& key = batch.operations[answer.refused].key;
    answer.found = parse_record(key, text_of(*parts[2]));
    if (!answer.found) return fail(corrupt(fmt::format("the record \"{}\"", key)));
  }
  return answer;
}

/// The storage's time: the server's, but not before the last write. `high` is the shard's key of that name.
Result<Timestamp> RedisStorage::now_of(const Request& request, std::string_view high) const {
  const auto [revision, rest] = storage_detail::cut(high, ' ');
  const auto [time, id] = storage_detail::cut(rest, ' ');
  const auto written = number_of(time);
  if (!written || id != id_) {
    return fail(redis::detail::to_error("ONCEWARD_GONE the data of this shard are gone", "reading"));
  }
  const auto now = clock_ != nullptr ? std::optional(clock_->now()) : server_time(*request.time);
  if (!now) return fail(corrupt("the answer of TIME"));
  return std::max(*now, Timestamp(Duration(*written)));
}

Result<Timestamp> RedisStorage::storage_time() {
  Request request{0, {}, clock_ == nullptr};
  CommandWriter(request.command).command({"GET", bases_[0] + ":high"});
  router_->run({&request, 1});
  if (!request.answer) return fail(std::move(request.error));
  if (is_error(*request.answer)) {
    return fail(redis::detail::to_error(text_of(*request.answer), "reading the time"));
  }
  return now_of(request, text_of(*request.answer));
}

Result<CommitAnswer> RedisStorage::commit(std::span<const Batch> batches) {
  if (auto checked = check_commit(batches); !checked) return fail(std::move(checked).error());
  CommitAnswer answer{{}, std::vector<BatchAnswer>(batches.size())};
  if (batches.empty()) {
    auto now = storage_time();
    if (!now) return fail(std::move(now).error());
    answer.now = *now;
    return answer;
  }
  bool wrote = false;
  std::optional<Error> failed;
  for (const auto& wave : waves_of(batches)) {
    std::vector<Request> requests;
    requests.reserve(wave.size());
    for (const auto& call : wave) requests.push_back(commit_request(batches, call));
    router_->run(requests);
    for (std::size_t i = 0; i < wave.size(); ++i) {
      auto& request = requests[i];
      const auto note = [&](Error error) {
        if (!failed || error.code == ErrorCode::in_doubt) failed = std::move(error);
      };
      if (!request.answer) {
        note(std::move(request.error));
        continue;
      }
      if (is_error(*request.answer)) {
        note(redis::detail::to_error(text_of(*request.answer), "committing"));
        continue;
      }
      const auto parts = elements_of(*request.answer);
      const auto now = parts.empty() ? std::nullopt : time_of(*parts[0]);
      if (!now || parts.size() != wave[i].places.size() + 1) return fail(corrupt("the answer of a script"));
      answer.now = std::max(answer.now, *now);
      for (std::size_t n = 0; n < wave[i].places.size(); ++n) {
        const auto place = wave[i].places[n];
        auto one = to_answer(*parts[n + 1], batches[place]);
        if (!one) return fail(std::move(one).error());
        wrote = wrote || one->applied();
        answer.batches[place] = *std::move(one);
      }
    }
    if (failed) break;
  }
  if (!failed) return answer;
  if (wrote) {
    failed->message += "; other batches of the span were applied";
    failed->code = ErrorCode::in_doubt;
  }
  return fail(*std::move(failed));
}

Result<ReadAnswer> RedisStorage::read(std::span<const RecordRef> records) {
  if (auto checked = check_read(records); !checked) return fail(std::move(checked).error());
  ReadAnswer answer{{}, std::vector<std::optional<Record>>(records.size())};
  if (records.empty()) {
    auto now = storage_time();
    if (!now) return fail(std::move(now).error());
    answer.now = *now;
    return answer;
  }
  std::vector<std::vector<std::size_t>> places;
  std::vector<Request> requests;
  std::vector<std::size_t> request_of(records.size() == 1 ? 0 : shard_count(), 0);
  for (std::size_t i = 0; i < records.size(); ++i) {
    const auto shard = shard_of(records[i].partition);
    std::size_t number = requests.size();
    if (!request_of.empty() && request_of[shard] != 0) number = request_of[shard] - 1;
    if (number == requests.size()) {
      requests.push_back({shard, {}, clock_ == nullptr});
      places.emplace_back();
      if (!request_of.empty()) request_of[shard] = number + 1;
    }
    places[number].push_back(i);
  }
  std::string name;
  for (std::size_t n = 0; n < requests.size(); ++n) {
    const auto& base = bases_[requests[n].shard];
    CommandWriter writer(requests[n].command);
    writer.begin(places[n].size() + 2);
    writer.word("MGET");
    writer.word(base + ":high");
    for (const auto place : places[n]) {
      name.assign(base).append(":record:");
      append_record_id(name, records[place].partition, records[place].key);
      writer.word(name);
    }
  }
  router_->run(requests);
  for (std::size_t n = 0; n < requests.size(); ++n) {
    auto& request = requests[n];
    if (!request.answer) return fail(std::move(request.error));
    if (is_error(*request.answer)) return fail(redis::detail::to_error(text_of(*request.answer), "reading"));
    const auto parts = elements_of(*request.answer);
    if (parts.size() != places[n].size() + 1) return fail(corrupt("the answer of MGET"));
    const auto now = now_of(request, text_of(*parts[0]));
    if (!now) return fail(now.error());
    answer.now = std::max(answer.now, *now);
    for (std::size_t i = 0; i < places[n].size(); ++i) {
      const auto& part = *parts[i + 1];
      if (!is_text(part)) continue;
      const auto key = records[places[n][i]].key;
      auto record = parse_record(key, text_of(part));
      if (!record) return fail(corrupt(fmt::format("the record \"{}\"", key)));
      if (!record->expires || *record->expires > *now) answer.records[places[n][i]] = std::move(record);
    }
  }
  return answer;
}

Result<ScanPage> RedisStorage::scan(std::string_view partition, std::string_view prefix,
                                    std::string_view cursor, std::size_t limit) {
  if (auto checked = check_scan(partition, prefix, cursor, limit); !checked) {
    return fail(std::move(checked).error());
  }
  Request request{shard_of(partition), {}};
  CommandWriter writer(request.command);
  begin_script(writer, scripts_.scan, 2, 4);
  writer.word(bases_[request.shard] + ":high");
  writer.word(fmt::format("{}:keys:{}", bases_[request.shard], partition));
  begin_arguments(writer, request.shard);
  writer.word(partition);
  writer.word(prefix);
  writer.word(!cursor.empty() && cursor >= prefix ? fmt::format("({}", cursor) : fmt::format("[{}", prefix));
  writer.number(static_cast<std::int64_t>(limit));
  router_->run({&request, 1});
  if (!request.answer) return fail(std::move(request.error));
  if (is_error(*request.answer)) return fail(redis::detail::to_error(text_of(*request.answer), "scanning"));
  const auto parts = elements_of(*request.answer);
  const auto now = parts.empty() ? std::nullopt : time_of(*parts[0]);
  if (!now || parts.size() != 3) return fail(corrupt("the answer of a script"));
  ScanPage page{*now, {}, {}};
  const auto found = elements_of(*parts[2]);
  for (std::size_t i = 0; i + 1 < found.size(); i += 2) {
    auto record = parse_record(text_of(*found[i]), text_of(*found[i + 1]));
    if (!record) return fail(corrupt(fmt::format("the record \"{}\"", text_of(*found[i]))));
    page.records.push_back(*std::move(record));
  }
  if (parts[1]->integer == 1) page.cursor = page.records.back().key;
  return page;
}

Result<DuePage> RedisStorage::due(std::span<const Shard> shards, std::size_t limit) {
  if (auto checked = check_due(shards, limit, shard_count()); !checked)
    return fail(std::move(checked).error());
  std::vector<Shard> asked(shards.begin(), shards.end());
  if (asked.empty()) {
    for (Shard shard = 0; shard < shard_count(); ++shard) asked.push_back(shard);
  }
  std::vector<Request> requests;
  for (const auto shard : asked) {
    auto& request = requests.emplace_back(Request{shard, {}});
    CommandWriter writer(request.command);
    begin_script(writer, scripts_.due, 2, 1);
    writer.word(bases_[shard] + ":high");
    writer.word(bases_[shard] + ":due");
    begin_arguments(writer, shard);
    writer.number(static_cast<std::int64_t>(limit));
  }
  router_->run(requests);
  DuePage page;
  for (auto& request : requests) {
    if (!request.answer) return fail(std::move(request.error));
    if (is_error(*request.answer))
      return fail(redis::detail::to_error(text_of(*request.answer), "reading what is due"));
    const auto parts = elements_of(*request.answer);
    const auto now = parts.empty() ? std::nullopt : time_of(*parts[0]);
    if (!now || parts.size() != 3) return fail(corrupt("the answer of a script"));
    page.now = std::max(page.now, *now);
    const auto next = time_of(*parts[1]);
    if (next && (!page.next || *next < *page.next)) page.next = next;
    const auto found = elements_of(*parts[2]);
    for (std::size_t i = 0; i + 1 < found.size(); i += 2) {
      const auto id = parse_record_id(text_of(*found[i]));
      auto record = id ? parse_record(id->second, text_of(*found[i + 1])) : std::nullopt;
      if (!record) return fail(corrupt(fmt::format("the record \"{}\"", text_of(*found[i]))));
      page.entries.push_back({std::string(id->first), *std::move(record)});
    }
  }
  storage_detail::order_due_page(page, limit);
  return page;
}

Result<void> check_options(const redis::Options& options) {
  const auto refuse = [](std::string what) { return fail(ErrorCode::invalid_argument, "Redis: " + what); };
  if (options.prefix.empty() || options.prefix.size() > 64 ||
      options.prefix.find_first_of("{}") != std::string::npos) {
    return refuse(fmt::format("the prefix \"{}\" needs 1 to 64 bytes without braces", options.prefix));
  }
  if (options.shards && (*options.shards == 0 || *options.shards > limits::most_shards)) {
    return refuse(fmt::format("{} shards asked for; choose 1 to {}", *options.shards, limits::most_shards));
  }
  if (options.timeout <= Duration(0) || options.connect_timeout <= Duration(0)) {
    return refuse("a timeout is not positive");
  }
  if (options.database < 0) return refuse("the database number is negative");
  if (options.mode == redis::Mode::cluster && options.database != 0) {
    return refuse("a cluster has only the database 0");
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<Storage>> redis::open(Options options) {
  if (auto checked = check_options(options); !checked) return fail(std::move(checked).error());
  auto scripts = detail::all_scripts();
  auto topology = detail::make_topology(options, scripts.loads());
  if (!topology) return fail(std::move(topology).error());
  auto router = std::make_unique<Router>(*std::move(topology), scripts.loads(), options.timeout);
  if (auto checked = detail::check_servers(*router, options); !checked)
    return fail(std::move(checked).error());
  if (auto loaded = detail::load_scripts(*router, scripts); !loaded) return fail(std::move(loaded).error());
  auto setup = detail::ensure_storage(*router, options);
  if (!setup) return fail(std::move(setup).error());
  return std::unique_ptr<Storage>(
      std::make_unique<RedisStorage>(std::move(router), std::move(scripts), *std::move(setup), options));
}

}  // namespace onceward
