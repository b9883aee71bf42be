#include <onceward/storage/mariadb.hpp>
#include <onceward/storage/partitions.hpp>

#include "storage/combiner.hpp"
#include "storage/mariadb/doubts.hpp"
#include "storage/mariadb/schema.hpp"
#include "storage/mariadb/rows.hpp"
#include "storage/mariadb/tables.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <random>
#include <thread>

namespace onceward::mariadb {
namespace {

using detail::attempt;
using detail::check_options;
using detail::CommitRequest;
using detail::Connection;
using detail::Failure;
using detail::Locking;
using detail::SharedTime;
using detail::Tables;
using SteadyClock = std::chrono::steady_clock;

constexpr std::chrono::microseconds first_pause{1'000};
constexpr std::chrono::microseconds longest_pause{200'000};
constexpr std::size_t purged_at_once = 64;
constexpr std::chrono::milliseconds between_purges{50};
constexpr std::size_t most_readers = 256;
/// With as many callers at work, the next ones share a transaction: measured, see docs/adr/0010-mariadb.md.
constexpr std::size_t direct_callers = 4;

/// A connection of our own with its tables.
struct Session {
  Session(const Options& options, SharedTime& time)
      : connection(options), tables(connection, time, options.clock) {}
  Connection connection;
  Tables tables;
};

/// Repeats what is harmless to repeat until the time is over: longer pauses each time, with jitter, so that
/// callers who met do not meet again.
class Retry {
 public:
  explicit Retry(Duration limit) : until_(SteadyClock::now() + limit) {}
  /// False where the time is over.
  bool pause() {
    if (SteadyClock::now() >= until_) return false;
    thread_local std::minstd_rand random{std::random_device{}()};
    std::this_thread::sleep_for(std::chrono::microseconds(
        std::uniform_int_distribution<std::int64_t>(pause_.count() / 2, pause_.count())(random)));
    pause_ = std::min(pause_ * 2, longest_pause);
    return true;
  }

 private:
  SteadyClock::time_point until_;
  std::chrono::microseconds pause_ = first_pause;
};

/// Whether the next group should believe that what it inserts is new. Where that was wrong it is not tried
/// for a while, longer each time: traffic full of duplicates would pay twice.
class Optimism {
 public:
  bool use() noexcept {
    if (pause_ == 0) return true;
    --pause_;
    return false;
  }
  void note(bool right) noexcept {
    next_pause_ = right ? 1 : std::min(next_pause_ * 2, longest);
    if (!right) pause_ = next_pause_;
  }

 private:
  static constexpr unsigned longest = 64;
  unsigned pause_ = 0;
  unsigned next_pause_ = 1;
};

class MariadbStorage final : public Storage, public PartitionLister {
 public:
  MariadbStorage(Options options, Shard shards, bool galera)
      : options_(std::move(options)), shards_(shards), time_(shards, galera) {}

  Result<CommitAnswer> commit(std::span<const Batch> batches) override {
    if (auto checked = check_commit(batches); !checked) return fail(std::move(checked).error());
    if (batches.empty()) {
      return reading([](Tables& tables, Connection&) { return CommitAnswer{tables.now({}), {}}; });
    }
    const Present present(callers_);
    if (present.before < direct_callers && is_direct(batches)) {
      if (auto answer = commit_directly(batches.front())) return *std::move(answer);
    }
    CommitRequest request{batches};
    combiner_.run(request, [this](std::span<CommitRequest* const> group) { commit_group(group); });
    return std::move(request.answer);
  }

  Result<ReadAnswer> read(std::span<const RecordRef> records) override {
    if (auto checked = check_read(records); !checked) return fail(std::move(checked).error());
    return reading([&](Tables& tables, Connection& connection) {
      ReadAnswer answer;
      // So many take several statements, which are to see one moment.
      const bool several = records.size() > detail::most_rows;
      if (several) {
        connection.command("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ");
        connection.command("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY");
      }
      tables.read(records, answer);
      if (several) connection.command("COMMIT");
      return answer;
    });
  }

  Result<ScanPage> scan(std::string_view partition, std::string_view prefix, std::string_view cursor,
                        std::size_t limit) override {
    if (auto checked = check_scan(partition, prefix, cursor, limit); !checked) {
      return fail(std::move(checked).error());
    }
    return reading([&](Tables& tables, Connection&) {
      ScanPage page;
      tables.scan(partition, prefix, cursor, limit, page);
      return page;
    });
  }

  Result<DuePage> due(std::span<const Shard> shards, std::size_t limit) override {
    if (auto checked = check_due(shards, limit, shards_); !checked) return fail(std::move(checked).error());
    return reading([&](Tables& tables, Connection&) {
      DuePage page;
      tables.due(shards, limit, page);
      return page;
    });
  }

  Result<PartitionPage> partitions(std::string_view cursor, std::size_t limit) override {
    return reading([&](Tables& tables, Connection&) {
      PartitionPage page{tables.partitions(cursor, limit), {}};
      if (page.partitions.size() == limit) page.cursor = page.partitions.back();
      return page;
    });
  }

  [[nodiscard]] Shard shard_count() const noexcept override { return shards_; }

 private:
  /// A caller of commit, counted as long as it is there.
  struct Present {
    explicit Present(std::atomic<std::size_t>& callers) : count(callers), before(callers++) {}
    ~Present() { --count; }
    Present(const Present&) = delete;
    Present& operator=(const Present&) = delete;
    std::atomic<std::size_t>& count;
    std::size_t before;
  };

  static bool is_direct(std::span<const Batch> batches) noexcept {
    if (batches.size() != 1 || batches.front().operations.size() != 1) return false;
    const auto kind = batches.front().operations.front().kind;
    return kind == Operation::Kind::insert || kind == Operation::Kind::replace;
  }

  /// By one statement. Nothing where that cannot be done: nothing was written.
  std::optional<Result<CommitAnswer>> commit_directly(const Batch& batch) {
    CommitRequest request{{&batch, 1}};
    auto* const one = &request;
    auto session = settled_session();
    if (!session || session->tables.locking_for({&one, 1}) == Locking::exclusive) {
      if (session) give_back(std::move(session));
      return std::nullopt;
    }
    try {
      auto answer = session->tables.write_directly(batch);
      give_back(std::move(session));
      if (!answer) return std::nullopt;
      return *std::move(answer);
    } catch (const Failure& failure) {
      if (failure.lost()) doubts_.add(session->connection.session());
      drop_reader();
      if (failure.undone()) return std::nullopt;
      auto error = failure.error();
      if (failure.unsettled()) error.code = ErrorCode::in_doubt;
      return fail(std::move(error));
    } catch (...) {
      drop_reader();
      throw;
    }
  }

  /// One transaction for every request of the group.
  void commit_group(std::span<CommitRequest* const> group) {
    Retry retry(options_.timeout);
    std::unique_ptr<Session> writer = idle_writer();
    auto locking = Locking::exclusive;
    for (bool first_try = true;; first_try = false) {
      bool committing = false;
      try {
        if (!writer) writer = open_writer();
        doubts_.settle(writer->connection, options_.timeout);
        if (first_try && believes()) locking = writer->tables.locking_for(group);
        const bool written = writer->tables.write(group, locking);
        if (locking == Locking::shared) believed(written);
        if (!written) {
          writer->connection.command("ROLLBACK");
          if (locking == Locking::exclusive && !retry.pause()) {
            throw Failure(
                {ErrorCode::timeout, "MariaDB: records were written by others all the time; try again"});
          }
          locking = Locking::exclusive;
          continue;
        }
        committing = true;
        writer->connection.command("COMMIT");
        purge_some(writer);
        if (writer) give_back_writer(std::move(writer));
        return;
      } catch (const Failure& failure) {
        auto error = failure.error();
        if (writer && failure.lost()) doubts_.add(writer->connection.session());
        // Whatever is open on it must not go on: a transaction that is not ended is rolled back with its
        // connection.
        if (!writer || failure.lost() || !rolled_back(*writer)) writer.reset();
        const bool again = failure.undone() || (!committing && error.code == ErrorCode::unavailable);
        if (committing && !failure.undone()) {
          error.code = ErrorCode::in_doubt;
        } else if (again && retry.pause()) {
          continue;
        }
        if (writer) give_back_writer(std::move(writer));
        for (auto* request : group) request->answer = fail(error);
        return;
      } catch (const std::exception& exception) {
        for (auto* request : group) request->answer = fail(ErrorCode::exhausted, exception.what());
        return;
      }
    }
  }

  static bool rolled_back(Session& writer) noexcept {
    try {
      writer.connection.command("ROLLBACK");
      return true;
    } catch (const std::exception&) {
      return false;
    }
  }

  std::unique_ptr<Session> open_writer() {
    auto writer = std::make_unique<Session>(options_, time_);
    writer->connection.command("SET autocommit = 0");
    return writer;
  }
  std::unique_ptr<Session> idle_writer() {
    const std::lock_guard lock(mutex_);
    auto writer = std::exchange(writer_, nullptr);
    if (writer && !writer->connection.alive()) writer.reset();
    return writer;
  }
  void give_back_writer(std::unique_ptr<Session> writer) {
    const std::lock_guard lock(mutex_);
    writer_ = std::move(writer);
  }

  bool believes() {
    const std::lock_guard lock(mutex_);
    return optimism_.use();
  }
  void believed(bool right) {
    const std::lock_guard lock(mutex_);
    optimism_.note(right);
  }

  /// What has expired is taken away a little at a time by whoever writes; each time another shard's;
  /// where a shard has more than that, the next one to write goes on with it.
  void purge_some(std::unique_ptr<Session>& writer) {
    Shard shard = 0;
    {
      const std::lock_guard lock(mutex_);
      const auto now = SteadyClock::now();
      if (now < next_purge_) return;
      next_purge_ = now + between_purges;
      shard = purged_ = (purged_ + 1) % shards_;
    }
    try {
      const bool more = writer->tables.purge(shard, purged_at_once);
      writer->connection.command("COMMIT");
      if (!more) return;
      const std::lock_guard lock(mutex_);
      purged_ = (shard + shards_ - 1) % shards_;
      next_purge_ = {};
    } catch (const Failure& failure) {
      if (failure.lost()) doubts_.add(writer->connection.session());
      writer.reset();  // the callers' commit stands; what was not taken away is the next one's
    }
  }

  template <class Work>
  auto reading(const Work& work)
      -> Result<decltype(work(std::declval<Tables&>(), std::declval<Connection&>()))> {
    Retry retry(options_.timeout);
    for (;;) {
      std::unique_ptr<Session> session;
      try {
        session = take_reader();
        doubts_.settle(session->connection, options_.timeout);
        auto answer = work(session->tables, session->connection);
        give_back(std::move(session));
        return answer;
      } catch (const Failure& failure) {
        const bool again = failure.undone() || failure.error().code == ErrorCode::unavailable;
        drop_reader();
        if (!again || !retry.pause()) return fail(failure.error());
      } catch (...) {
        drop_reader();
        throw;
      }
    }
  }

  std::unique_ptr<Session> take_reader() {
    std::unique_lock lock(mutex_);
    freed_.wait(lock, [&] {
      return !idle_.empty() || open_ < std::clamp<std::size_t>(options_.readers, 1, most_readers);
    });
    while (!idle_.empty()) {
      auto session = std::move(idle_.back());
      idle_.pop_back();
      if (session->connection.alive()) return session;
      --open_;
    }
    ++open_;
    lock.unlock();
    return std::make_unique<Session>(options_, time_);
  }
  /// One that stands ready; null where there is none.
  std::unique_ptr<Session> idle_session() {
    {
      const std::lock_guard lock(mutex_);
      while (!idle_.empty()) {
        auto session = std::move(idle_.back());
        idle_.pop_back();
        if (session->connection.alive()) return session;
        --open_;
      }
      if (open_ >= std::clamp<std::size_t>(options_.readers, 1, most_readers)) return nullptr;
      ++open_;
    }
    try {
      return std::make_unique<Session>(options_, time_);
    } catch (const Failure&) {
      drop_reader();
      return nullptr;  // whoever goes on without it meets the same error
    }
  }
  /// The same, with no doubt left of what was sent before.
  std::unique_ptr<Session> settled_session() {
    auto session = idle_session();
    try {
      if (session) doubts_.settle(session->connection, options_.timeout);
      return session;
    } catch (const Failure&) {
      drop_reader();
      return nullptr;
    }
  }
  void give_back(std::unique_ptr<Session> session) {
    {
      const std::lock_guard lock(mutex_);
      idle_.push_back(std::move(session));
    }
    freed_.notify_one();
  }
  void drop_reader() {
    {
      const std::lock_guard lock(mutex_);
      --open_;
    }
    freed_.notify_one();
  }

  const Options options_;
  const Shard shards_;
  SharedTime time_;
  detail::Doubts doubts_;
  std::atomic<std::size_t> callers_ = 0;
  storage_detail::Combiner<CommitRequest> combiner_;

  std::mutex mutex_;                 ///< of what stands below
  std::unique_ptr<Session> writer_;  ///< of the groups, while none is at work; null: to be made
  Optimism optimism_;
  SteadyClock::time_point next_purge_{};
  Shard purged_ = 0;
  std::condition_variable freed_;
  std::vector<std::unique_ptr<Session>> idle_;
  std::size_t open_ = 0;
};

}  // namespace

Result<std::unique_ptr<Storage>> open(Options options) {
  if (auto checked = check_options(options); !checked) return fail(std::move(checked).error());
  return attempt([&]() -> Result<std::unique_ptr<Storage>> {
    const auto [shards, galera] = [&] {
      Connection connection(options);
      return std::pair(detail::ensure_schema(connection, options), connection.is_galera());
    }();
    return std::unique_ptr<Storage>(std::make_unique<MariadbStorage>(std::move(options), shards, galera));
  });
}

}  // namespace onceward::mariadb
