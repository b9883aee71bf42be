#pragma once
#include <onceward/storage/transactions.hpp>

#include <functional>
#include <mutex>
#include <optional>
#include <string_view>

namespace onceward::testing {

/// Wraps transactions and makes their ends go wrong, as networks and kill -9 do. Safe from any thread.
template <class Connection>
class FaultyTransactions final : public Transactions<Connection> {
 public:
  enum class Fault : std::uint8_t {
    before,  ///< COMMIT never reaches the database: the transaction is rolled back
    after,   ///< COMMIT is carried out and its answer lost
  };

  explicit FaultyTransactions(Transactions<Connection>& inner) noexcept : inner_(inner) {}

  /// The next `count` commits fail with `code`.
  void fail_commits(Fault fault, ErrorCode code, std::size_t count = 1) {
    const std::lock_guard lock(mutex_);
    commits_ = {fault, code, count};
  }
  /// After `skip` more, the next `count` calls of begin() fail with `code`.
  void fail_begins(ErrorCode code, std::size_t count = 1, std::size_t skip = 0) {
    const std::lock_guard lock(mutex_);
    begins_ = {Fault::before, code, count, skip};
  }
  /// The next `count` calls of undo_to_savepoint() fail with `code`, and the transaction is undone as a
  /// whole: as where the connection is lost, or the database ends the transaction by itself.
  void fail_undos(ErrorCode code, std::size_t count = 1) {
    const std::lock_guard lock(mutex_);
    undos_ = {Fault::before, code, count};
  }
  /// Calls `hook` with "begin", "begun", "undone" (to the savepoint), "commit.before" and "commit.after", on
  /// the caller's thread.
  void on_point(std::function<void(std::string_view point)> hook) {
    const std::lock_guard lock(mutex_);
    hook_ = std::move(hook);
  }
  /// Transactions asked for so far.
  [[nodiscard]] std::size_t begun() const {
    const std::lock_guard lock(mutex_);
    return begun_;
  }

  Result<std::unique_ptr<Transaction<Connection>>> begin(std::stop_token stop = {}) override {
    reach("begin");
    {
      const std::lock_guard lock(mutex_);
      ++begun_;
      if (next(begins_)) return fail(begins_.code, "a fault that was asked for");
    }
    auto opened = inner_.begin(std::move(stop));
    if (!opened) return opened;
    reach("begun");
    return std::unique_ptr<Transaction<Connection>>(std::make_unique<Wrapped>(*this, *std::move(opened)));
  }

 private:
  struct Rule {
    Fault fault = Fault::before;
    ErrorCode code = ErrorCode::in_doubt;
    std::size_t count = 0;
    std::size_t skip = 0;
  };
  class Wrapped final : public Transaction<Connection> {
   public:
    Wrapped(FaultyTransactions& all, std::unique_ptr<Transaction<Connection>> inner) noexcept
        : all_(all), inner_(std::move(inner)) {}
    Connection connection() noexcept override { return inner_->connection(); }
    Storage& storage() noexcept override { return inner_->storage(); }
    void rollback() noexcept override { inner_->rollback(); }
    bool conflicted() noexcept override { return inner_->conflicted(); }
    Result<void> set_savepoint() override { return inner_->set_savepoint(); }
    Result<void> release_savepoint() override { return inner_->release_savepoint(); }
    Result<void> undo_to_savepoint() override {
      if (const auto rule = all_.taken(all_.undos_)) {
        inner_->rollback();
        return fail(rule->code, "a fault that was asked for");
      }
      auto undone = inner_->undo_to_savepoint();
      all_.reach("undone");
      return undone;
    }
    Result<void> commit() override {
      all_.reach("commit.before");
      const auto rule = all_.taken(all_.commits_);
      if (rule && rule->fault == Fault::before) {
        inner_->rollback();
        return fail(rule->code, "a fault that was asked for");
      }
      auto done = inner_->commit();
      all_.reach("commit.after");
      if (rule && done) return fail(rule->code, "a fault that was asked for");
      return done;
    }

   private:
    FaultyTransactions& all_;
    std::unique_ptr<Transaction<Connection>> inner_;
  };

  static bool next(Rule& rule) {
    if (rule.count == 0) return false;
    if (rule.skip > 0) return --rule.skip, false;
    return --rule.count, true;
  }
  /// The rule, where it takes this call.
  std::optional<Rule> taken(Rule& rule) {
    const std::lock_guard lock(mutex_);
    return next(rule) ? std::optional(rule) : std::nullopt;
  }
  void reach(std::string_view point) {
    std::function<void(std::string_view)> hook;
    {
      const std::lock_guard lock(mutex_);
      hook = hook_;
    }
    if (hook) hook(point);
  }

  Transactions<Connection>& inner_;
  mutable std::mutex mutex_;
  Rule commits_{};
  Rule begins_{};
  Rule undos_{};
  std::size_t begun_ = 0;
  std::function<void(std::string_view)> hook_;
};

}  // namespace onceward::testing
