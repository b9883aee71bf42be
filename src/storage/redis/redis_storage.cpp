#include <onceward/storage/partitions.hpp>
#include <onceward/storage/redis.hpp>

#include "storage/combiner.hpp"
#include "storage/due_page.hpp"
#include "storage/redis/calls.hpp"
#include "storage/redis/errors.hpp"
#include "storage/redis/record_text.hpp"
#include "storage/redis/setup.hpp"
#include "storage/url.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

namespace onceward {
namespace {

using redis::detail::Call;
using redis::detail::Calls;
using redis::detail::corrupt;
using redis::detail::elements_of;
using redis::detail::is_error;
using redis::detail::is_text;
using redis::detail::number_of;
using redis::detail::parse_record;
using redis::detail::parse_record_id;
using redis::detail::Place;
using redis::detail::Request;
using redis::detail::Router;
using redis::detail::text_of;
using redis::detail::time_of;
using redis::detail::TimedAnswer;

/// The answer of TIME: seconds and microseconds.
std::optional<Timestamp> server_time(const redisReply& reply) noexcept {
  const auto parts = elements_of(reply);
  if (parts.size() != 2) return std::nullopt;
  const auto seconds = number_of(text_of(*parts[0]));
  const auto micros = number_of(text_of(*parts[1]));
  if (!seconds || !micros) return std::nullopt;
  return Timestamp(Duration(*seconds * 1'000'000 + *micros));
}

/// With fewer callers each sends for itself; with more those that wait share a call. The server works on one
/// call while others travel: with 1 it rests meanwhile, with 16 and more calls are small (measured).
constexpr unsigned calls_on_their_way = 8;
constexpr std::size_t callers_of_a_call = 64;

/// A commit of one caller on its way through the combiner.
struct CommitRequest {
  std::span<const Batch> batches;
  CommitAnswer answer;
  std::optional<Error> failed{};
  bool wrote = false;
  std::size_t answered = 0;  ///< of its batches

  void take(std::size_t place, Result<TimedAnswer> one) {
    ++answered;
    if (one) {
      answer.now = std::max(answer.now, one->now);
      wrote = wrote || one->answer.applied();
      answer.batches[place] = std::move(one->answer);
    } else if (!failed || one.error().code == ErrorCode::in_doubt) {
      failed = std::move(one).error();
    }
  }
};

/// Of spans that share calls: a large one is none of the better for it, and the small ones would wait for it.
bool is_small(std::span<const Batch> batches) noexcept {
  constexpr std::size_t most_operations = 32;
  constexpr std::size_t most_bytes = 65'536;
  std::size_t operations = 0;
  std::size_t bytes = 0;
  for (const auto& batch : batches) {
    operations += batch.operations.size();
    for (const auto& operation : batch.operations) bytes += operation.value.size();
    if (operations > most_operations || bytes > most_bytes) return false;
  }
  return true;
}

/// The server answered an error that comes before a script's first write.
bool refused_whole(const Request& request) noexcept {
  return request.answer && is_error(*request.answer) &&
         redis::detail::script_error(text_of(*request.answer), {}).code == ErrorCode::exhausted;
}

class RedisStorage final : public Storage, public PartitionLister {
 public:
  RedisStorage(std::unique_ptr<Router> router, Calls calls, redis::Mode mode)
      : router_(std::move(router)), calls_(std::move(calls)), mode_(mode) {}

  Result<CommitAnswer> commit(std::span<const Batch> batches) override;
  Result<ReadAnswer> read(std::span<const RecordRef> records) override;
  Result<ScanPage> scan(std::string_view partition, std::string_view prefix, std::string_view cursor,
                        std::size_t limit) override;
  Result<DuePage> due(std::span<const Shard> shards, std::size_t limit) override;
  Result<PartitionPage> partitions(std::string_view cursor, std::size_t limit) override;
  [[nodiscard]] Shard shard_count() const noexcept override { return calls_.shards(); }

 private:
  void commit_group(std::span<CommitRequest* const> group);
  std::vector<Request> sent(std::span<const Batch* const> batches, std::span<const Call> calls);
  [[nodiscard]] bool one_server() const noexcept { return mode_ != redis::Mode::cluster; }
  [[nodiscard]] Result<redis::detail::Reply> answer_of(Request request, std::string_view doing);
  [[nodiscard]] Result<Timestamp> now_of(const Request& request, std::string_view high) const;
  [[nodiscard]] Result<Timestamp> clock_of(const Request& request) const;
  [[nodiscard]] Result<Timestamp> storage_time();

  std::unique_ptr<Router> router_;
  Calls calls_;
  redis::Mode mode_;
  storage_detail::Combiner<CommitRequest> combiner_{calls_on_their_way, callers_of_a_call};
};

/// The storage's time: the server's, but not before the last write. `high` is the shard's key of that name.
Result<Timestamp> RedisStorage::now_of(const Request& request, std::string_view high) const {
  const auto [revision, rest] = storage_detail::cut(high, ' ');
  const auto [time, id] = storage_detail::cut(rest, ' ');
  const auto written = number_of(time);
  if (!written || id != calls_.id()) return fail(redis::detail::gone("reading"));
  auto now = clock_of(request);
  if (!now) return now;
  return std::max(*now, Timestamp(Duration(*written)));
}

Result<Timestamp> RedisStorage::clock_of(const Request& request) const {
  if (calls_.clock() != nullptr) return calls_.clock()->now();
  const auto now = server_time(*request.time);
  if (!now) return fail(corrupt("the answer of TIME"));
  return *now;
}

Result<Timestamp> RedisStorage::storage_time() {
  auto request = calls_.high(0);
  router_->run({&request, 1});
  if (!request.answer) return fail(std::move(request.error));
  if (is_error(*request.answer)) {
    return fail(redis::detail::to_error(text_of(*request.answer), "reading the time"));
  }
  return now_of(request, text_of(*request.answer));
}

Result<CommitAnswer> RedisStorage::commit(std::span<const Batch> batches) {
  if (auto checked = check_commit(batches); !checked) return fail(std::move(checked).error());
  if (batches.empty()) {
    auto now = storage_time();
    if (!now) return fail(std::move(now).error());
    return CommitAnswer{*now, {}};
  }
  CommitRequest request{batches, {{}, std::vector<BatchAnswer>(batches.size())}};
  if (one_server() && is_small(batches)) {
    combiner_.run(request, [this](std::span<CommitRequest* const> group) { commit_group(group); });
  } else {
    auto* const alone = &request;
    commit_group({&alone, 1});
  }
  if (!request.failed) return std::move(request.answer);
  if (request.wrote) {
    request.failed->message += "; other batches of the span were applied";
    request.failed->code = ErrorCode::in_doubt;
  }
  return fail(*std::move(request.failed));
}

/// The spans of callers side by side: the batches of one fail or are applied whatever becomes of the others'.
void RedisStorage::commit_group(std::span<CommitRequest* const> group) {
  struct Owner {
    CommitRequest* request;
    std::size_t place;
  };
  std::vector<const Batch*> batches;
  std::vector<Owner> owners;
  for (auto* request : group) {
    for (std::size_t i = 0; i < request->batches.size(); ++i) {
      batches.push_back(&request->batches[i]);
      owners.push_back({request, i});
    }
  }
  const auto owner_of = [&](const Place& place) { return owners[place.batch].request; };
  for (auto& wave : redis::detail::waves_of(batches, shard_count(), one_server())) {
    for (auto& call : wave)
      std::erase_if(call.places, [&](const Place& place) { return owner_of(place)->failed.has_value(); });
    std::erase_if(wave, [](const Call& call) { return call.places.empty(); });
    auto requests = sent(batches, wave);
    // What a server refuses before it writes, memory it has none of, it may refuse for the sake of one
    // caller.
    std::vector<Call> apart;
    for (std::size_t i = 0; i < wave.size(); ++i) {
      if (!refused_whole(requests[i])) continue;
      std::vector<Call> parts;
      for (const auto& place : wave[i].places) {
        const bool same = !parts.empty() && owner_of(parts.back().places.front()) == owner_of(place);
        if (!same) parts.emplace_back();
        parts.back().places.push_back(place);
      }
      if (parts.size() == 1) continue;
      std::move(parts.begin(), parts.end(), std::back_inserter(apart));
      wave[i].places.clear();
    }
    auto requests_apart = sent(batches, apart);
    bool away = false;
    const auto take = [&](const Call& call, Request& request) {
      away = away || (!call.places.empty() && !request.answer);
      auto answers = redis::detail::answers_of(request, batches, call);
      for (std::size_t n = 0; n < answers.size(); ++n)
        owner_of(call.places[n])->take(owners[call.places[n].batch].place, std::move(answers[n]));
    };
    for (std::size_t i = 0; i < wave.size(); ++i) take(wave[i], requests[i]);
    for (std::size_t i = 0; i < apart.size(); ++i) take(apart[i], requests_apart[i]);
    if (!away) continue;
    // The time of the call is over: what has not been sent is not going to be.
    for (auto* request : group) {
      if (!request->failed && request->answered < request->batches.size())
        request->failed = Error{ErrorCode::timeout, "Redis: no answer in time to calls that went before"};
    }
    return;
  }
}

std::vector<Request> RedisStorage::sent(std::span<const Batch* const> batches, std::span<const Call> calls) {
  std::vector<Request> requests;
  requests.reserve(calls.size());
  for (const auto& call : calls) requests.push_back(calls_.commit(batches, call));
  router_->run(requests);
  return requests;
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
  std::vector<Shard> shards;
  std::vector<std::vector<std::size_t>> places;
  std::vector<std::size_t> number_of_shard(records.size() == 1 ? 0 : shard_count(), 0);
  for (std::size_t i = 0; i < records.size(); ++i) {
    const auto shard = shard_of(records[i].partition);
    std::size_t number = shards.size();
    if (!number_of_shard.empty() && number_of_shard[shard] != 0) number = number_of_shard[shard] - 1;
    if (number == shards.size()) {
      shards.push_back(shard);
      places.emplace_back();
      if (!number_of_shard.empty()) number_of_shard[shard] = number + 1;
    }
    places[number].push_back(i);
  }
  std::vector<Request> requests;
  for (std::size_t n = 0; n < shards.size(); ++n)
    requests.push_back(calls_.read(shards[n], records, places[n]));
  router_->run(requests);
  for (std::size_t n = 0; n < requests.size(); ++n) {
    auto& request = requests[n];
    if (!request.answer) return fail(std::move(request.error));
    if (is_error(*request.answer)) return fail(redis::detail::to_error(text_of(*request.answer), "reading"));
    const auto parts = elements_of(*request.answer);
    if (parts.size() != places[n].size() + 1) return fail(corrupt("the answer of MGET"));
    // A shard that lost its data may hold records that were made again: they are there. Absence it cannot
    // vouch for.
    const bool lost = !is_text(*parts[0]);
    const auto now = lost ? clock_of(request) : now_of(request, text_of(*parts[0]));
    if (!now) return fail(now.error());
    answer.now = std::max(answer.now, *now);
    for (std::size_t i = 0; i < places[n].size(); ++i) {
      const auto& part = *parts[i + 1];
      if (!is_text(part)) {
        if (lost) return fail(redis::detail::gone("reading"));
        continue;
      }
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
  auto request = calls_.scan(shard_of(partition), partition, prefix, cursor, limit);
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
  for (const auto shard : asked) requests.push_back(calls_.due(shard, limit));
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

Result<redis::detail::Reply> RedisStorage::answer_of(Request request, std::string_view doing) {
  router_->run({&request, 1});
  if (!request.answer) return fail(std::move(request.error));
  if (is_error(*request.answer)) return fail(redis::detail::to_error(text_of(*request.answer), doing));
  return std::move(request.answer);
}

/// The cursor is "SERVER:SCAN's": a walk over two servers, before and after a failover, would miss some.
Result<PartitionPage> RedisStorage::partitions(std::string_view cursor, std::size_t limit) {
  constexpr std::string_view doing = "listing partitions";
  if (mode_ == redis::Mode::cluster) {
    return fail(
        ErrorCode::wrong_state,
        "a Redis Cluster does not list its partitions, since slots may move while one walks; name them");
  }
  const auto [walked, at] = storage_detail::cut(cursor, ':');
  const auto scanned = answer_of(calls_.lists(cursor.empty() ? "0" : at, limit), doing);
  if (!scanned) return fail(scanned.error());
  // Asked afterwards, so that a failover in between shows.
  const auto info = answer_of(Calls::server(), doing);
  if (!info) return fail(info.error());
  const auto server = redis::detail::run_id_of(text_of(**info));
  if (!cursor.empty() && walked != server) {
    return fail(ErrorCode::conflict, "the Redis server became another one; begin the walk again");
  }
  const auto parts = elements_of(**scanned);
  if (parts.size() != 2) return fail(corrupt("the answer of SCAN"));
  PartitionPage page;
  for (const auto* key : elements_of(*parts[1])) {
    const auto partition = calls_.partition_of(text_of(*key));
    if (!partition.empty()) page.partitions.emplace_back(partition);
  }
  if (text_of(*parts[0]) != "0") page.cursor = fmt::format("{}:{}", server, text_of(*parts[0]));
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
  std::vector<std::string> bases;
  for (Shard shard = 0; shard < setup->shards; ++shard)
    bases.push_back(detail::base_of(options.prefix, shard));
  return std::unique_ptr<Storage>(std::make_unique<RedisStorage>(
      std::move(router), Calls(std::move(bases), std::move(scripts), std::move(setup->id), options.clock),
      options.mode));
}

}  // namespace onceward
