#include <onceward/storage/mariadb.hpp>

#include "storage/combiner.hpp"
#include "storage/mariadb/schema.hpp"
#include "storage/mariadb/tables.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <random>
#include <thread>

namespace onceward::mariadb {
namespace {

using detail::attempt;
using detail::CommitRequest;
using detail::Connection;
using detail::Failure;
using detail::Tables;
using SteadyClock = std::chrono::steady_clock;

constexpr std::chrono::microseconds first_pause{1'000};
constexpr std::chrono::microseconds longest_pause{200'000};
constexpr std::size_t purged_at_once = 64;
constexpr std::chrono::milliseconds between_purges{50};
constexpr std::size_t most_readers = 256;

/// A connection of our own with its tables.
struct Session {
  Session(const Options& options, Shard shards)
      : connection(options), tables(connection, shards, options.clock) {}
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

class MariadbStorage final : public Storage {
 public:
  MariadbStorage(Options options, Shard shards, std::unique_ptr<Session> writer)
      : options_(std::move(options)), shards_(shards), writer_(std::move(writer)) {}

  Result<CommitAnswer> commit(std::span<const Batch> batches) override {
    if (auto checked = check_commit(batches); !checked) return fail(std::move(checked).error());
    if (batches.empty()) {
      return reading([](Tables& tables) { return CommitAnswer{tables.now({}), {}}; });
    }
    CommitRequest request{batches};
    combiner_.run(request, [this](std::span<CommitRequest* const> group) { commit_group(group); });
    return std::move(request.answer);
  }

  Result<ReadAnswer> read(std::span<const RecordRef> records) override {
    if (auto checked = check_read(records); !checked) return fail(std::move(checked).error());
    return reading([&](Tables& tables) {
      ReadAnswer answer;
      tables.read(records, answer);
      return answer;
    });
  }

  Result<ScanPage> scan(std::string_view partition, std::string_view prefix, std::string_view cursor,
                        std::size_t limit) override {
    if (auto checked = check_scan(partition, prefix, cursor, limit); !checked) {
      return fail(std::move(checked).error());
    }
    return reading([&](Tables& tables) {
      ScanPage page;
      tables.scan(partition, prefix, cursor, limit, page);
      return page;
    });
  }

  Result<DuePage> due(std::span<const Shard> shards, std::size_t limit) override {
    if (auto checked = check_due(shards, limit, shards_); !checked) return fail(std::move(checked).error());
    return reading([&](Tables& tables) {
      DuePage page;
      tables.due(shards, limit, page);
      return page;
    });
  }

  [[nodiscard]] Shard shard_count() const noexcept override { return shards_; }

 private:
  /// One transaction for every request of the group. Only one group is at work at a time.
  void commit_group(std::span<CommitRequest* const> group) {
    Retry retry(options_.timeout);
    for (;;) {
      bool committing = false;
      try {
        if (!writer_) writer_ = std::make_unique<Session>(options_, shards_);
        writer_->connection.command("BEGIN");
        writer_->tables.write(group);
        committing = true;
        writer_->connection.command("COMMIT");
        purge_some();
        return;
      } catch (const Failure& failure) {
        auto error = failure.error();
        // Whatever is open on it must not go on: a transaction that is not ended is rolled back with its
        // connection.
        if (!writer_ || failure.lost() || !rolled_back()) writer_.reset();
        const bool again = failure.undone() || (!committing && error.code == ErrorCode::unavailable);
        if (committing && failure.lost()) {
          error.code = ErrorCode::in_doubt;
        } else if (again && retry.pause()) {
          continue;
        }
        for (auto* request : group) request->answer = fail(error);
        return;
      } catch (const std::exception& exception) {
        writer_.reset();
        for (auto* request : group) request->answer = fail(ErrorCode::exhausted, exception.what());
        return;
      }
    }
  }

  bool rolled_back() noexcept {
    try {
      writer_->connection.command("ROLLBACK");
      return true;
    } catch (const std::exception&) {
      return false;
    }
  }

  /// What has expired is taken away a little at a time by whoever writes; each time another shard's.
  void purge_some() {
    const auto now = SteadyClock::now();
    if (now < next_purge_) return;
    next_purge_ = now + between_purges;
    purged_ = (purged_ + 1) % shards_;
    try {
      writer_->connection.command("BEGIN");
      writer_->tables.purge(purged_, purged_at_once);
      writer_->connection.command("COMMIT");
    } catch (const Failure&) {
      writer_.reset();  // the callers' commit stands; what was not taken away is the next one's
    }
  }

  template <class Work>
  auto reading(const Work& work) -> Result<decltype(work(std::declval<Tables&>()))> {
    Retry retry(options_.timeout);
    for (;;) {
      std::unique_ptr<Session> session;
      try {
        session = take_reader();
        auto answer = work(session->tables);
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
    if (!idle_.empty()) {
      auto session = std::move(idle_.back());
      idle_.pop_back();
      return session;
    }
    ++open_;
    lock.unlock();
    return std::make_unique<Session>(options_, shards_);
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
  storage_detail::Combiner<CommitRequest> combiner_;
  std::unique_ptr<Session> writer_;  ///< of the group at work; null: to be made
  SteadyClock::time_point next_purge_{};
  Shard purged_ = 0;

  std::mutex mutex_;
  std::condition_variable freed_;
  std::vector<std::unique_ptr<Session>> idle_;
  std::size_t open_ = 0;
};

class EnlistedStorage final : public Storage {
 public:
  EnlistedStorage(MYSQL* connection, Shard shards, const Clock* clock)
      : connection_(connection),
        tables_(connection_, shards, clock, Tables::Reading::locked),
        shards_(shards) {}

  Result<CommitAnswer> commit(std::span<const Batch> batches) override {
    if (auto checked = check_commit(batches); !checked) return fail(std::move(checked).error());
    if ((connection_.get()->server_status & SERVER_STATUS_IN_TRANS) == 0) {
      return fail(ErrorCode::wrong_state,
                  "an enlisted storage writes in the caller's transaction and none is open; BEGIN one first");
    }
    return attempt([&]() -> Result<CommitAnswer> {
      CommitRequest request{batches};
      auto* const one = &request;
      tables_.write({&one, 1});
      return std::move(request.answer);
    });
  }
  Result<ReadAnswer> read(std::span<const RecordRef> records) override {
    if (auto checked = check_read(records); !checked) return fail(std::move(checked).error());
    return attempt([&]() -> Result<ReadAnswer> {
      ReadAnswer answer;
      tables_.read(records, answer);
      return answer;
    });
  }
  Result<ScanPage> scan(std::string_view partition, std::string_view prefix, std::string_view cursor,
                        std::size_t limit) override {
    if (auto checked = check_scan(partition, prefix, cursor, limit); !checked) {
      return fail(std::move(checked).error());
    }
    return attempt([&]() -> Result<ScanPage> {
      ScanPage page;
      tables_.scan(partition, prefix, cursor, limit, page);
      return page;
    });
  }
  Result<DuePage> due(std::span<const Shard> shards, std::size_t limit) override {
    if (auto checked = check_due(shards, limit, shards_); !checked) return fail(std::move(checked).error());
    return attempt([&]() -> Result<DuePage> {
      DuePage page;
      tables_.due(shards, limit, page);
      return page;
    });
  }
  [[nodiscard]] Shard shard_count() const noexcept override { return shards_; }

 private:
  Connection connection_;
  Tables tables_;
  Shard shards_;
};

Result<void> check_options(const Options& options) {
  if (options.shards && (*options.shards == 0 || *options.shards > limits::most_shards)) {
    return fail(ErrorCode::invalid_argument, fmt::format("MariaDB: {} shards asked for; choose 1 to {}",
                                                         *options.shards, limits::most_shards));
  }
  if (options.timeout <= Duration(0) || options.connect_timeout <= Duration(0)) {
    return fail(ErrorCode::invalid_argument, "MariaDB: a timeout is not positive");
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<Storage>> open(Options options) {
  if (auto checked = check_options(options); !checked) return fail(std::move(checked).error());
  return attempt([&]() -> Result<std::unique_ptr<Storage>> {
    const auto shards = [&] {
      Connection connection(options);
      return detail::ensure_schema(connection, options);
    }();
    auto writer = std::make_unique<Session>(options, shards);
    return std::unique_ptr<Storage>(
        std::make_unique<MariadbStorage>(std::move(options), shards, std::move(writer)));
  });
}

Result<std::unique_ptr<Storage>> enlist(MYSQL* connection, Options options) {
  if (auto checked = check_options(options); !checked) return fail(std::move(checked).error());
  return attempt([&]() -> Result<std::unique_ptr<Storage>> {
    Connection borrowed(connection);
    const auto shards = detail::read_schema(borrowed, options);
    return std::unique_ptr<Storage>(std::make_unique<EnlistedStorage>(connection, shards, options.clock));
  });
}

}  // namespace onceward::mariadb
