#pragma once
#include <onceward/storage/transactions.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

// Connections that are lent to one transaction after the other: shared by the databases.
namespace onceward::storage_detail {

/// `Session` is an open connection with what belongs to it. At most `most` are out at one time; who finds
/// none waits.
template <class Session>
class SessionPool {
 public:
  SessionPool(std::size_t most, Duration patience) : most_(most), patience_(patience) {
    idle_.reserve(most);  // giving back never needs memory
    takers_.reserve(most);
  }

  /// An idle session, or null where the caller has to make one: either counts as out. Errors: timeout,
  /// wrong_state.
  Result<std::unique_ptr<Session>> take(const std::stop_token& stop) {
    const auto self = std::this_thread::get_id();
    std::unique_lock lock(mutex_);
    const auto free = [&] { return takers_.size() < most_; };
    if (!free() && std::all_of(takers_.begin(), takers_.end(), [&](auto taker) { return taker == self; })) {
      return fail(ErrorCode::wrong_state,
                  fmt::format("this thread has a transaction open on each of the {} connections, and would "
                              "wait for itself; end one first, or use other transactions",
                              most_));
    }
    const bool given = given_.wait_for(lock, stop, patience_, free);
    if (stop.stop_requested())
      return fail(ErrorCode::timeout, "the wait for a connection was stopped; nothing began");
    if (!given) {
      return fail(ErrorCode::timeout,
                  fmt::format("all {} connections of these transactions were in use for {} "
                              "ms; end them sooner, or allow more",
                              most_, patience_.count() / 1000));
    }
    takers_.push_back(self);
    if (idle_.empty()) return std::unique_ptr<Session>();
    auto session = std::move(idle_.back());
    idle_.pop_back();
    return session;
  }
  /// Null where it is not to be used again. `taker` is the thread that took it.
  void give(std::unique_ptr<Session> session, std::thread::id taker) noexcept {
    {
      const std::lock_guard lock(mutex_);
      takers_.erase(std::find(takers_.begin(), takers_.end(), taker));
      if (session) idle_.push_back(std::move(session));
    }
    given_.notify_one();
  }

 private:
  const std::size_t most_;
  const Duration patience_;
  std::mutex mutex_;
  std::condition_variable_any given_;
  std::vector<std::thread::id> takers_;  ///< of the sessions that are out
  std::vector<std::unique_ptr<Session>> idle_;
};

/// A transaction on a session of a pool. A Session has begin(stop), savepoint(command), commit(), rollback()
/// (false: it is of no more use), conflicted(), connection() and storage().
template <class Session, class Connection>
class PooledTransaction final : public Transaction<Connection> {
 public:
  PooledTransaction(std::shared_ptr<SessionPool<Session>> pool, std::unique_ptr<Session> session) noexcept
      : pool_(std::move(pool)), session_(std::move(session)) {}
  ~PooledTransaction() override {
    rollback();
    if (!sound_) session_.reset();
    pool_->give(std::move(session_), taker_);
  }
  PooledTransaction(const PooledTransaction&) = delete;
  PooledTransaction& operator=(const PooledTransaction&) = delete;

  Connection connection() noexcept override { return session_->connection(); }
  Storage& storage() noexcept override { return session_->storage(); }
  Result<void> set_savepoint() override { return session_->savepoint("SAVEPOINT onceward_work"); }
  Result<void> undo_to_savepoint() override {
    return session_->savepoint("ROLLBACK TO SAVEPOINT onceward_work");
  }
  Result<void> release_savepoint() override { return session_->savepoint("RELEASE SAVEPOINT onceward_work"); }
  Result<void> commit() override {
    if (!open_) return fail(ErrorCode::wrong_state, "this transaction has ended");
    open_ = false;
    auto done = session_->commit();
    // What a connection holds after a commit that failed is not worth finding out.
    if (!done) sound_ = false;
    return done;
  }
  void rollback() noexcept override {
    if (!std::exchange(open_, false)) return;
    sound_ = session_->rollback();
  }
  bool conflicted() noexcept override { return session_->conflicted(); }

 private:
  std::shared_ptr<SessionPool<Session>> pool_;
  std::unique_ptr<Session> session_;
  const std::thread::id taker_ = std::this_thread::get_id();
  bool open_ = true;
  bool sound_ = true;
};

template <class Session, class Connection, class Connect>
class PooledTransactions final : public Transactions<Connection> {
 public:
  PooledTransactions(std::size_t most, Duration patience, Connect connect)
      : pool_(std::make_shared<SessionPool<Session>>(most, patience)), connect_(std::move(connect)) {}

  Result<std::unique_ptr<Transaction<Connection>>> begin(std::stop_token stop = {}) override {
    auto session = pool_->take(stop);
    if (!session) return fail(std::move(session).error());
    Place place(*pool_);
    if (auto opened = open(*session, stop); !opened) return fail(std::move(opened).error());
    auto transaction = std::make_unique<PooledTransaction<Session, Connection>>(pool_, std::move(*session));
    place.keep();
    return std::unique_ptr<Transaction<Connection>>(std::move(transaction));
  }

 private:
  /// The place of a session that is made; given back where nothing comes of it.
  class Place {
   public:
    explicit Place(SessionPool<Session>& pool) noexcept : pool_(&pool) {}
    ~Place() {
      if (pool_ != nullptr) pool_->give(nullptr, std::this_thread::get_id());
    }
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;
    void keep() noexcept { pool_ = nullptr; }

   private:
    SessionPool<Session>* pool_;
  };

  /// An idle connection may have died meanwhile: then another one is made.
  Result<void> open(std::unique_ptr<Session>& session, const std::stop_token& stop) {
    if (session) {
      auto begun = session->begin(stop);
      if (begun || begun.error().code == ErrorCode::timeout) return begun;
      session.reset();
    }
    auto made = connect_();
    if (!made) return fail(std::move(made).error());
    session = *std::move(made);
    return session->begin(stop);
  }

  std::shared_ptr<SessionPool<Session>> pool_;
  Connect connect_;
};

}  // namespace onceward::storage_detail
