// Guarded first calls on Redis (claim + complete, 64-byte key, 200-byte result): ours beside hiredis with the
// same commands, in one run, interleaved. Prints medians and decides nothing.
//   bench_redis [URL] [ROUNDS]        URL: redis://127.0.0.1:6379 or redis+unix:///run/redis.sock
#include <onceward/storage/redis.hpp>

#include "bench/cycles.hpp"
#include "storage/redis/command.hpp"
#include "storage/redis/reply.hpp"
#include "storage/redis/scripts.hpp"

using namespace onceward;
using namespace bench;
using redis::detail::CommandWriter;
using redis::detail::Reply;

namespace {

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
         {std::string("EVALSHA"), sha1_, std::string("5"), base + ":high",
          base + ":record:" + std::to_string(partition.size()) + ":" + partition + ":" + key, base + ":due",
          base + ":expiry", base + ":keys:" + partition, id_, std::string(), std::string("2"),
          std::string("1"), std::string("1")}) {
      writer.word(word);
    }
    for (const auto& word : operation) writer.word(word);
    redisAppendFormattedCommand(context_, text_.data(), text_.size());
  }
  std::string revision() {
    void* answer = nullptr;
    if (redisGetReply(context_, &answer) != REDIS_OK) end("hiredis: no answer");
    const Reply reply(static_cast<redisReply*>(answer));
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 1 ||
        reply->element[0]->element[1]->element[0]->integer != 1) {
      end("hiredis: a cycle ended otherwise than it must");
    }
    return reply->element[0]->element[1]->element[1]->str;
  }

  redisContext* context_ = nullptr;
  std::string sha1_, id_, prefix_, text_;
  std::string claim_ = std::string(claim_value_bytes, 'c');
  std::string result_ = std::string(result_value_bytes, 'r');
};

/// The guard people write by hand: SET NX PX with the owner's name, then the result over it. It has no fence,
/// no fingerprint, and a late owner writes over another one's result.
class SetNx {
 public:
  explicit SetNx(const redis::Options& options) {
    const auto& address = options.addresses.front();
    context_ = address.path.empty() ? redisConnect(address.host.c_str(), address.port)
                                    : redisConnectUnix(address.path.c_str());
    if (context_ == nullptr || context_->err != 0) end("hiredis cannot connect");
  }
  ~SetNx() { redisFree(context_); }
  SetNx(const SetNx&) = delete;
  SetNx& operator=(const SetNx&) = delete;

  void cycle() {
    const auto key = next_key();
    const Reply claimed(static_cast<redisReply*>(redisCommand(
        context_, "SET setnx:%s %s NX PX 30000", key.c_str(), "an-owner-of-thirty-two-characters")));
    if (claimed == nullptr || claimed->type != REDIS_REPLY_STATUS) end("hiredis: no claim");
    const Reply stored(static_cast<redisReply*>(
        redisCommand(context_, "SET setnx:%s %s PX 86400000", key.c_str(), result_.c_str())));
    if (stored == nullptr || stored->type != REDIS_REPLY_STATUS) end("hiredis: no result");
  }

 private:
  redisContext* context_ = nullptr;
  std::string result_ = std::string(result_bytes, 'r');
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

  const auto raw = [&](std::size_t each) -> Worker {
    return [&, each]() -> Work {
      auto own = std::make_shared<Raw>(options, sha1, id);
      return [own, each] { own->cycles(each); };
    };
  };
  const Worker by_hand = [&]() -> Work {
    auto own = std::make_shared<SetNx>(options);
    return [own] { own->cycle(); };
  };
  const auto ours = guarded(*storage);
  Guards guards(*storage);
  guards.start();
  const auto posting = guarded_posting(guards);
  print("hiredis",
        {{"1 thread", 0.9, 1, 1, ours, 1, 1, raw(1)},
         {"8 threads", 1.2, 8, 1, ours, 8, 1, raw(1)},
         {"64 threads", 1.8, 64, 1, ours, 64, 1, raw(1)},
         {"8 threads, posted", 1.8, 8, 1, posting, 8, 1, raw(1)},
         {"64 threads, posted", 2.5, 64, 1, posting, 64, 1, raw(1)},
         {"span of 256, 1 thread", 0.85, 1, span, guarded_span(*storage), 1, span, raw(span)}},
        rounds);
  std::printf("\nbeside a guard written by hand (SET NX PX, then SET)\n");
  print("by hand",
        {{"1 thread", 0, 1, 1, ours, 1, 1, by_hand},
         {"1 thread, posted", 0, 1, 1, posting, 1, 1, by_hand},
         {"64 threads", 0, 64, 1, ours, 64, 1, by_hand},
         {"64 threads, posted", 0, 64, 1, posting, 64, 1, by_hand}},
        rounds);
}
