// Guarded first calls on Redis (claim + complete, 64-byte key, 200-byte result): ours beside hiredis with the
// same commands, in one run, interleaved. Prints medians and decides nothing.
//   bench_redis [URL] [ROUNDS]        URL: redis://127.0.0.1:6379 or redis+unix:///run/redis.sock
#include <onceward/idempotency/guard.hpp>
#include <onceward/storage/redis.hpp>

#include "storage/redis/command.hpp"
#include "storage/redis/reply.hpp"
#include "storage/redis/scripts.hpp"

#include <algorithm>
#include <atomic>
#include <barrier>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <thread>
#include <vector>

using namespace onceward;
using namespace std::chrono_literals;
using redis::detail::CommandWriter;
using redis::detail::Reply;

namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr auto round_time = 1s;
constexpr std::size_t key_bytes = 64;
constexpr std::size_t result_bytes = 200;
constexpr std::size_t span = 256;

[[noreturn]] void end(const std::string& why) {
  std::fprintf(stderr, "bench_redis: %s\n", why.c_str());
  std::exit(1);
}

template <class T>
T need(Result<T> result) {
  if (!result) end(describe(result.error()));
  return *std::move(result);
}

/// A key that never comes twice.
std::string next_key() {
  static const auto run = std::to_string(std::chrono::system_clock::now().time_since_epoch().count());
  static std::atomic<std::uint64_t> count = 0;
  auto key = run + ":" + std::to_string(++count) + ":";
  key.resize(key_bytes, 'k');
  return key;
}

struct Figure {
  double cycles_per_second = 0;
  double p50_us = 0;
  double p99_us = 0;
};

/// Cycles a second of `threads` threads, each with a worker of its own; a call of it does `each` cycles.
Figure measure(unsigned threads, std::size_t each, const std::function<std::function<void()>()>& worker) {
  std::vector<std::vector<float>> latencies(threads);
  std::barrier start(static_cast<std::ptrdiff_t>(threads) + 1);
  std::atomic<bool> stop = false;
  std::vector<std::thread> running;
  for (unsigned i = 0; i < threads; ++i) {
    running.emplace_back([&, i] {
      const auto work = worker();
      work();
      start.arrive_and_wait();
      while (!stop.load(std::memory_order_relaxed)) {
        const auto began = SteadyClock::now();
        work();
        latencies[i].push_back(std::chrono::duration<float, std::micro>(SteadyClock::now() - began).count());
      }
    });
  }
  start.arrive_and_wait();
  const auto began = SteadyClock::now();
  std::this_thread::sleep_for(round_time);
  stop = true;
  for (auto& thread : running) thread.join();
  const std::chrono::duration<double> took = SteadyClock::now() - began;
  std::vector<float> all;
  for (const auto& some : latencies) all.insert(all.end(), some.begin(), some.end());
  if (all.empty()) return {};
  std::sort(all.begin(), all.end());
  return {static_cast<double>(all.size() * each) / took.count(), all[all.size() / 2],
          all[all.size() * 99 / 100]};
}

/// hiredis as one would use it: a connection per thread, the script by its name.
class Raw {
 public:
  Raw(const redis::Options& options, std::string sha1, std::string id)
      : sha1_(std::move(sha1)), id_(std::move(id)), prefix_(options.prefix) {
    const auto& address = options.addresses.front();
    context_ = address.path.empty() ? redisConnect(address.host.c_str(), address.port)
                                    : redisConnectUnix(address.path.c_str());
    if (context_ == nullptr || context_->err != 0) end("hiredis cannot connect");
  }
  ~Raw() { redisFree(context_); }
  Raw(const Raw&) = delete;
  Raw& operator=(const Raw&) = delete;

  void cycles(std::size_t count) {
    std::vector<std::string> keys;
    std::vector<std::string> revisions;
    for (std::size_t i = 0; i < count; ++i) {
      keys.push_back(next_key());
      send(keys.back(), {"i", claim_, "30000000", "86400000000"});
    }
    for (std::size_t i = 0; i < count; ++i) revisions.push_back(revision());
    for (std::size_t i = 0; i < count; ++i) send(keys[i], {"r", revisions[i], result_, "", "86400000000"});
    for (std::size_t i = 0; i < count; ++i) (void)revision();
  }

 private:
  void send(const std::string& key, std::initializer_list<std::string_view> operation) {
    const auto partition = guard_partition("bench", key);
    const auto base = prefix_ + ":{" + std::to_string(std::hash<std::string>()(partition) % 64) + "}";
    text_.clear();
    CommandWriter writer(text_);
    writer.begin(13 + operation.size());
    for (const auto& word :
         {std::string("EVALSHA"), sha1_, std::string("5"), base + ":high", base + ":due", base + ":expiry",
          base + ":keys:" + partition,
          base + ":record:" + std::to_string(partition.size()) + ":" + partition + ":" + key, id_,
          std::string(), base, partition, std::string("1")}) {
      writer.word(word);
    }
    for (const auto& word : operation) writer.word(word);
    redisAppendFormattedCommand(context_, text_.data(), text_.size());
  }
  std::string revision() {
    void* answer = nullptr;
    if (redisGetReply(context_, &answer) != REDIS_OK) end("hiredis: no answer");
    const Reply reply(static_cast<redisReply*>(answer));
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 ||
        reply->element[1]->element[0]->integer != 1) {
      end("hiredis: a cycle ended otherwise than it must");
    }
    return reply->element[1]->element[1]->str;
  }

  redisContext* context_ = nullptr;
  std::string sha1_, id_, prefix_, text_;
  std::string claim_ = std::string(110, 'c');
  std::string result_ = std::string(result_bytes + 80, 'r');
};

}  // namespace

int main(int count, char** words) {
  const std::string url = count > 1 ? words[1] : "redis://127.0.0.1:6379";
  const int rounds = count > 2 ? std::atoi(words[2]) : 5;
  auto options = need(redis::parse_url(url));
  options.prefix = "onceward-bench";
  options.unsafe_server = redis::UnsafeServer::accept;
  const auto storage = need(redis::open(options));

  const auto& address = options.addresses.front();
  redisContext* context = address.path.empty() ? redisConnect(address.host.c_str(), address.port)
                                               : redisConnectUnix(address.path.c_str());
  const auto scripts = redis::detail::all_scripts();
  const Reply loaded(
      static_cast<redisReply*>(redisCommand(context, "SCRIPT LOAD %s", scripts.commit.text.c_str())));
  const std::string sha1 = loaded->str;
  const Reply high(static_cast<redisReply*>(redisCommand(context, "GET onceward-bench:{0}:high")));
  const std::string id = std::string(high->str).substr(std::string(high->str).rfind(' ') + 1);
  redisFree(context);

  const Policy policy{.operation = "bench", .lease = 30s};
  const Value result(std::string(result_bytes, 'r'));
  const auto ours = [&]() -> std::function<void()> {
    return [&] {
      auto guard = need(Guard::claim(*storage, next_key(), policy));
      if (!guard.complete(result).recorded) end("a cycle ended otherwise than it must");
    };
  };
  const auto ours_span = [&]() -> std::function<void()> {
    return [&] {
      std::vector<Batch> batches;
      for (std::size_t i = 0; i < span; ++i) {
        auto key = next_key();
        auto partition = guard_partition("bench", key);
        batches.push_back(
            {std::move(partition), {Operation::insert(std::move(key), std::string(110, 'c'), {30s, 24h})}});
      }
      const auto claimed = need(storage->commit(batches));
      for (std::size_t i = 0; i < span; ++i) {
        auto& operation = batches[i].operations.front();
        operation = Operation::replace(std::move(operation.key), claimed.batches[i].revision,
                                       std::string(result_bytes + 80, 'r'), {std::nullopt, 24h});
      }
      for (const auto& answer : need(storage->commit(batches)).batches) {
        if (!answer.applied()) end("a cycle ended otherwise than it must");
      }
    };
  };
  const auto raw = [&](std::size_t each) {
    return [&, each]() -> std::function<void()> {
      auto own = std::make_shared<Raw>(options, sha1, id);
      return [own, each] { own->cycles(each); };
    };
  };

  struct Line {
    const char* name;
    unsigned threads;
    std::size_t each;
    double goal;
    std::function<std::function<void()>()> mine;
  };
  const std::vector<Line> lines = {{"1 thread", 1, 1, 0.9, ours},
                                   {"8 threads", 8, 1, 1.2, ours},
                                   {"64 threads", 64, 1, 1.8, ours},
                                   {"span of 256, 1 thread", 1, span, 0.85, ours_span}};
  std::printf("%-24s %12s %12s %7s %6s   %s\n", "cycles/s", "ours", "hiredis", "ratio", "goal",
              "p50/p99 us: ours, hiredis");
  for (const auto& line : lines) {
    std::vector<Figure> mine;
    std::vector<Figure> theirs;
    for (int round = 0; round < rounds; ++round) {
      mine.push_back(measure(line.threads, line.each, line.mine));
      theirs.push_back(measure(line.threads, line.each, raw(line.each)));
    }
    const auto median = [](std::vector<Figure>& figures) {
      std::sort(figures.begin(), figures.end(),
                [](const Figure& a, const Figure& b) { return a.cycles_per_second < b.cycles_per_second; });
      return figures[figures.size() / 2];
    };
    const auto a = median(mine);
    const auto b = median(theirs);
    std::printf("%-24s %12.0f %12.0f %7.2f %6.2f   %.0f/%.0f, %.0f/%.0f\n", line.name, a.cycles_per_second,
                b.cycles_per_second, a.cycles_per_second / b.cycles_per_second, line.goal, a.p50_us, a.p99_us,
                b.p50_us, b.p99_us);
    std::fflush(stdout);
  }
}
