// What a guard must bear: bytes that are no text, a storage without memory, the end of a thread.
#include <onceward/idempotency/idempotent.hpp>

#include "guards_bench.hpp"

#include <atomic>
#include <limits>
#include <new>
#include <vector>

using namespace onceward;
using namespace std::chrono_literals;
using guards_bench::Bench;
using guards_bench::Call;
using guards_bench::Fault;
using guards_bench::until;

namespace {

/// A storage that runs out of memory, before or after it has written.
class Starved final : public Storage {
 public:
  explicit Starved(Storage& inner) noexcept : inner_(inner) {}
  void starve(int commits, bool after) noexcept { after_ = after, starved_ = commits; }

  Result<CommitAnswer> commit(std::span<const Batch> batches) override {
    const bool starved = starved_ > 0 && starved_-- > 0;
    if (starved && !after_) throw std::bad_alloc();
    auto answer = inner_.commit(batches);
    if (starved) throw std::bad_alloc();
    return answer;
  }
  Result<ReadAnswer> read(std::span<const RecordRef> records) override { return inner_.read(records); }
  Result<ScanPage> scan(std::string_view partition, std::string_view prefix, std::string_view cursor,
                        std::size_t limit) override {
    return inner_.scan(partition, prefix, cursor, limit);
  }
  Result<DuePage> due(std::span<const Shard> shards, std::size_t limit) override {
    return inner_.due(shards, limit);
  }
  [[nodiscard]] Shard shard_count() const noexcept override { return inner_.shard_count(); }

 private:
  Storage& inner_;
  std::atomic<int> starved_ = 0;
  std::atomic<bool> after_ = false;
};

/// Calls as a thread ends, after what it kept for its guards is gone.
struct LastCall {
  Storage* storage = nullptr;
  std::atomic<int>* done = nullptr;
  ~LastCall() {
    if (storage == nullptr) return;
    auto call = idempotent<std::string>(*storage, "#{p0}", {.operation = "last"},
                                        [](const std::string& text) { return text + " done"; });
    if (call("at the very end of this thread, in a text too long for its object").has_value()) ++*done;
    if (call("at the very end of this thread, in a text too long for its object").has_value()) ++*done;
  }
};

struct Number {
  std::string id;
};

/// A payload whose codec gives up.
struct Unspeakable {
  std::string id;
};

}  // namespace

template <>
struct onceward::ValueCodec<Unspeakable> {
  static Value to_value(const Unspeakable&) { throw std::runtime_error("cannot be told"); }
  static Result<void> from_value(const Value&, Unspeakable&) { return {}; }
};

TEST_CASE("a fingerprint may be any bytes: a digest as it is computed [guard-40] [guard-42]") {
  Bench bench;
  std::string digest;
  for (int i = 0; i < 64; ++i) digest += static_cast<char>(255 - i);
  auto other = digest;
  other[63] = 'x';
  auto first = Guard::claim(bench.guards, "k", bench.policy, digest).value();
  CHECK(Guard::claim(bench.guards, "k", bench.policy, digest)->verdict() == Verdict::in_progress);
  CHECK(Guard::claim(bench.guards, "k", bench.policy, other)->verdict() == Verdict::key_reused);
  CHECK(first.complete(Value(1)).recorded);
  const auto again = Guard::claim(bench.guards, "k", bench.policy, digest).value();
  CHECK(again.verdict() == Verdict::replayed);
  CHECK(again.result() == Value(1));
  CHECK(Guard::claim(bench.guards, "k", bench.policy, other)->verdict() == Verdict::key_reused);
  const std::string zeros(8, '\0');
  CHECK(Guard::claim(bench.guards, "z", bench.policy, zeros)->complete(Value(2)).recorded);
  CHECK(Guard::claim(bench.guards, "z", bench.policy, zeros)->result() == Value(2));
  CHECK(Guard::claim(bench.guards, "l", bench.policy, digest + "x").error().code ==
        ErrorCode::invalid_argument);
}

TEST_CASE("a key may be any bytes") {
  Bench bench;
  const std::string key("\xff\x00\xfe\"\\\n", 6);
  CHECK(bench.claim(key).complete(Value(1)).recorded);
  CHECK(bench.claim(key).result() == Value(1));
  CHECK(bench.claim(key.substr(0, 5)).acquired());
}

TEST_CASE("a storage without memory in the background ends neither the process nor a claim") {
  for (const bool after : {false, true}) {
    const auto memory = open_memory().value();
    Starved storage(*memory);
    Guards guards(storage, {.flush_deadline = 1s});
    guards.start();
    const Policy policy{.operation = "b",
                        .lease = 300ms,
                        .auto_renew = true,
                        .record_limit = 10s,
                        .acknowledge = Acknowledge::post};
    auto renewed = Guard::claim(guards, "renewed", policy).value();
    auto carried = Guard::claim(guards, "carried", policy).value();
    storage.starve(1, after);
    std::this_thread::sleep_for(350ms);  // a renewal falls into it
    CHECK_FALSE(renewed.lost().stop_requested());
    const auto posted = carried.complete(Value(1)).acknowledgement;
    storage.starve(2, after);
    // A claim that carries the completion meets it, on its caller's thread.
    CHECK_NOTHROW((void)Guard::claim(guards, "third", policy));
    const auto answer = posted.wait_for(20s);
    REQUIRE(answer);
    CHECK(answer->recorded);
    CHECK(renewed.complete(Value(2)).acknowledgement.wait_for(20s)->recorded);
  }
}

TEST_CASE("a guarded call as a thread ends uses nothing that is gone") {
  const auto storage = open_memory().value();
  std::atomic<int> done = 0;
  std::thread thread([&] {
    thread_local LastCall last;  // made before, so destroyed after what calls keep for their thread
    last.storage = storage.get();
    last.done = &done;
    auto call = idempotent<std::string>(*storage, "#{p0}", {.operation = "early"},
                                        [](const std::string& text) { return text; });
    CHECK(call("a text too long for its object, so that it lies on the heap").has_value());
  });
  thread.join();
  CHECK(done == 2);
}

TEST_CASE("asking for figures invents no operation") {
  Bench bench;
  CHECK(bench.guards.figures("never called").total() == 0);
  CHECK(bench.guards.figures().empty());
  CHECK(bench.claim("k").complete(Value(1)).recorded);
  CHECK(bench.guards.figures().size() == 1);
}

TEST_CASE("a number that JSON does not have is given to its caller, and the work never runs again") {
  Bench bench;
  int runs = 0;
  auto call = idempotent<Number>(bench.guards, "#{id}", bench.policy, [&](const Number&) {
    ++runs;
    return std::numeric_limits<double>::quiet_NaN();
  });
  const auto first = call({"k"});
  const auto second = call({"k"});
  CHECK(first.recorded());
  CHECK(first.has_value());
  CHECK(second.verdict() == Verdict::result_unavailable);
  CHECK(runs == 1);
}

TEST_CASE("a payload that cannot be told ends its call before the claim, and is counted [guard-82]") {
  Bench bench;
  auto call =
      idempotent<std::string, Unspeakable>(bench.guards, {params("id", "what"), "#{id}"}, bench.policy,
                                           [](const std::string&, const Unspeakable&) { return 1; });
  CHECK_THROWS_AS(call("k", {"x"}), std::runtime_error);
  CHECK(bench.commits() == 0);
  CHECK(bench.guards.figures("b").total() == 1);
  CHECK(bench.ended(CallEnd::refused) == 1);
}

TEST_CASE("work that took effect while the storage was full is stored when it has room, not run again") {
  Bench bench;
  bench.policy.record_limit = 30ms;
  auto guard = bench.claim("k");
  bench.storage.fail_calls(Call::commit, Fault::before, ErrorCode::exhausted, 1'000'000);
  const auto completion = guard.complete(Value("kept"));
  CHECK_FALSE(completion.recorded);
  CHECK(completion.error->code == ErrorCode::exhausted);
  REQUIRE(completion.acknowledgement.valid());
  bench.storage.heal();
  REQUIRE(until([&] { return bench.state("k") == "done"; }));
  CHECK(bench.rival("k").result() == Value("kept"));
}

TEST_CASE("a result of just the size and the depth that is stored comes back whole") {
  Bench bench;
  bench.policy.result_bytes_max = limits::value_bytes - 4096;
  // Its JSON has two quotes.
  const std::string largest(bench.policy.result_bytes_max - 2, 'x');
  const std::string print(64, '\xff');
  auto guard = Guard::claim(bench.guards, "large", bench.policy, print).value();
  CHECK(guard.complete(Value(largest)).verdict == Verdict::executed);
  CHECK(Guard::claim(bench.guards, "large", bench.policy, print)->result() == Value(largest));
  CHECK(bench.claim("larger").complete(Value(largest + "x")).verdict == Verdict::result_unavailable);
  Value deepest(1);
  for (std::size_t i = 0; i + 1 < limits::json_depth; ++i) deepest = Value(List{deepest});
  CHECK(bench.claim("deep").complete(deepest).verdict == Verdict::executed);
  CHECK(bench.claim("deep").result() == deepest);
  CHECK(bench.claim("deeper").complete(Value(List{deepest})).verdict == Verdict::result_unavailable);
  // The longest error of characters that JSON writes in six.
  const Error error{ErrorCode::conflict, std::string(10'000, '\x01'), 7};
  CHECK(bench.claim("error").complete_with_error(error).recorded);
  const auto again = bench.claim("error");
  CHECK(again.verdict() == Verdict::replayed);
  CHECK(again.error()->message == std::string(4096, '\x01'));
}
