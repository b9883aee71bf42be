#pragma once
#include <onceward/idempotency/fast_path.hpp>
#include <onceward/idempotency/idempotent.hpp>
#include <onceward/storage/transactions.hpp>

#include <exception>

namespace onceward {

namespace guard_detail {

/// Decides after a round that came to nothing whether another one follows, and waits until then.
class Rounds {
 public:
  enum class Step : std::uint8_t {
    beginning,  ///< there was no transaction
    claiming,
    running,  ///< the work ran, or began to
    committing,
  };

  Rounds(const Policy& policy, std::stop_token stop) noexcept;
  /// True where another round follows: the error may pass, and there is time.
  bool again(const Error& error, Step step);
  /// The same where a live claim is in the way.
  bool wait(Duration lease_left);
  /// The claim could be made: a COMMIT whose answer was lost did not happen.
  void settled() noexcept { lost_ = false; }
  /// What the call ends with where no round follows.
  [[nodiscard]] Verdict verdict_of(const Error& error) const noexcept;

 private:
  using Steady = std::chrono::steady_clock;
  bool pause(Steady::time_point until, Duration most);

  const Policy& policy_;
  std::stop_token stop_;
  Steady::time_point began_ = Steady::now();
  std::optional<Steady::time_point> until_{};  ///< since the work ran
  bool lost_ = false;                          ///< a COMMIT may have happened
  Duration pause_{};
};

/// Who holds, or held last, the claim of this guard. Valid as long as the guard.
[[nodiscard]] std::string_view owner_of(const Guard& guard) noexcept;
/// Whether the record of a key was written by this owner. Errors: those of reading.
Result<bool> is_of(Storage& storage, std::string_view operation, std::string_view key,
                   std::string_view owner);
/// Writes something that leaves nothing behind, so that a COMMIT of it reaches the disk. Errors: of writing.
Result<void> write_nothing(Storage& storage, std::string_view operation);
/// Errors: invalid_argument naming the field that makes no sense in a transaction.
Result<void> check_transactional(const Policy& policy);
/// The policy of the claim inside a transaction: nothing waits in there.
std::shared_ptr<const Policy> policy_inside(const Policy& policy);
/// A storage that holds nothing, for what is bound to one before there is a transaction.
std::shared_ptr<Storage> nowhere();
[[noreturn]] void throw_ended_transaction(std::string_view operation, const std::optional<Error>& why);

template <class Connection, class Handler, class... Request>
decltype(auto) call_in(const Handler& handler, Connection connection, Attempt& attempt,
                       const Request&... request) {
  if constexpr (std::is_invocable_v<const Handler&, Connection, const Request&..., Attempt&>) {
    return std::invoke(handler, static_cast<Connection>(connection), request..., attempt);
  } else {
    return std::invoke(handler, static_cast<Connection>(connection), request...);
  }
}

}  // namespace guard_detail

/// A handler whose every call is one transaction of the caller's database: made by transactional() or
/// hybrid(). The key's record and the handler's rows are committed together or not at all, so there is no
/// lease to wait for after a crash and no row without its record. Any number of threads may call one;
/// transactions and fast path must outlive it.
template <class Connection, class Handler, class... Request>
class Transactional {
  using Returned = std::remove_cvref_t<decltype(guard_detail::call_in<Connection, Handler, Request...>(
      std::declval<const Handler&>(), std::declval<Connection>(), std::declval<Attempt&>(),
      std::declval<const Request&>()...))>;
  using ContentOf = result_detail::ContentOf<Returned>;

 public:
  using Content = typename ContentOf::type;

  Transactional(Transactions<Connection>& transactions, FastPath* fast, BoundKey<Request...> key,
                Policy policy, Handler handler, std::array<std::string_view, sizeof...(Request)> names = {})
      : transactions_(&transactions),
        nowhere_(guard_detail::nowhere()),
        wrapping_(*nowhere_, std::move(key), policy, names),
        handler_(std::move(handler)),
        fast_(fast) {
    if (auto fine = guard_detail::check_transactional(policy); !fine)
      throw std::invalid_argument(describe(fine.error()));
    inside_ = guard_detail::policy_inside(policy);
    if (fast_ != nullptr) fast_policy_ = guard_detail::fast_policy(policy, fast_->options());
  }

  /// Opens a transaction, claims the key, runs the handler and commits; or says that the key is taken, or
  /// gives the stored outcome again.
  /// - The handler throws: everything is rolled back, the exception passes through, the next call runs. After
  ///   Attempt::effects_started() the key is left in doubt, in a transaction of its own.
  /// - It returns an error that is retryable: rolled back. Final or in doubt: its rows are rolled back, the
  ///   error is stored.
  /// - Another transaction is in the way (a deadlock, a lock that is not given): repeated for
  ///   Policy::record_limit, the handler too; with OnBusy::wait for wait_limit. Then in_progress.
  /// - COMMIT's answer is lost: the next transaction finds out whether it happened. Where it did the call has
  ///   executed; where it did not the handler runs again, unless effects_started. in_doubt where the database
  ///   stays away for record_limit: call again.
  /// Throws DuplicateCall where the policy says raise; std::logic_error where the handler ended the
  /// transaction, or went on and returned a value after the database had undone it.
  Outcome<Content> operator()(const Request&... request, std::stop_token stop = {}) const {
    typename Wrapping::Call call;
    if (auto known = wrapping_.begin(call, request...)) return *std::move(known);
    if (fast_ == nullptr) {
      guard_detail::FastClaim none;
      return in_database(call, none, std::move(stop), request...);
    }
    guard_detail::FastClaim fast(*fast_, call.key, fast_policy_, call.fingerprint(), stop);
    if (const auto* guard = fast.answer()) return wrapping_.answer(call, *guard);
    return in_database(call, fast, std::move(stop), request...);
  }

 private:
  using Wrapping = guard_detail::Wrapping<Content, Request...>;
  using Kept = typename Wrapping::Content;
  using Step = guard_detail::Rounds::Step;
  using Access = guard_detail::GuardAccess;

  /// What the rounds of one call know of each other.
  struct Work {
    guard_detail::Rounds rounds;
    std::optional<Kept> result{};            ///< of the last run
    std::optional<Error> error{};            ///< how the work ended: what is left is to record it
    std::exception_ptr thrown{};             ///< the same, thrown
    bool in_doubt = false;                   ///< how `error` is recorded
    bool outside = false;                    ///< a run may have had an effect that no rollback undoes
    std::string owner{};                     ///< of the run whose COMMIT failed
    std::optional<Completion> completion{};  ///< what it would have ended with

    void leave_in_doubt(std::string message) {
      error = Error{ErrorCode::in_doubt, std::move(message)};
      in_doubt = true;
    }
  };
  using Ended = std::optional<Outcome<Content>>;  ///< of a round; empty: another one follows

  Outcome<Content> in_database(typename Wrapping::Call& call, guard_detail::FastClaim& fast,
                               std::stop_token stop, const Request&... request) const {
    Work work{guard_detail::Rounds(*call.policy, std::move(stop))};
    Ended ended;
    while (!ended) ended = round(call, work, fast, request...);
    if (work.thrown) std::rethrow_exception(work.thrown);
    return *std::move(ended);
  }

  Ended round(typename Wrapping::Call& call, Work& work, guard_detail::FastClaim& fast,
              const Request&... request) const {
    auto opened = transactions_->begin();
    if (!opened) return without(work, opened.error(), Step::beginning);
    auto& transaction = **opened;
    auto guard = Access::claim(transaction.storage(), call.key, inside_, nullptr, call.fingerprint(), {});
    if (!guard) return without(work, guard.error(), Step::claiming);
    if (!guard->acquired()) return taken(call, work, transaction, *guard, fast);
    work.rounds.settled();
    work.owner.clear();
    if (work.outside && !work.error)
      work.leave_in_doubt("the transaction was undone after effects outside of it had started");
    if (!work.error) {
      Ended ended;
      if (!run(call, work, transaction, *guard, ended, request...)) return ended;
    }
    return commit(call, work, transaction, *guard, fast);
  }

  /// False where the round ends here: with `ended`, or with another one.
  bool run(typename Wrapping::Call& call, Work& work, Transaction<Connection>& transaction,
           const Guard& guard, Ended& ended, const Request&... request) const {
    auto attempt = wrapping_.attempt_of(call, guard);
    std::optional<Error> error;
    const Error conflict{ErrorCode::timeout, "another transaction was in the way of the handler's"};
    try {
      error = call_handler(work, transaction, attempt, request...);
    } catch (...) {
      work.outside = attempt.have_effects_started();
      const bool repeat = !work.outside && transaction.conflicted();
      transaction.rollback();
      if (work.outside) {
        work.thrown = std::current_exception();
        work.leave_in_doubt("the handler threw after its effects had started");
      } else if (!repeat || !work.rounds.again(conflict, Step::running)) {
        throw;
      }
      return false;
    }
    work.outside = attempt.have_effects_started();
    if (!error) return true;
    const auto kind = Wrapping::class_of(*call.policy, *error);
    const bool repeat = kind == ErrorClass::retryable && !work.outside && transaction.conflicted();
    transaction.rollback();  // what it wrote before the error
    if (kind == ErrorClass::retryable) {
      if (!repeat || !work.rounds.again(conflict, Step::running)) ended = Wrapping::failed(guard, {}, *error);
      return false;
    }
    work.error = std::move(error);
    work.in_doubt = kind == ErrorClass::in_doubt;
    return false;
  }

  std::optional<Error> call_handler(Work& work, Transaction<Connection>& transaction, Attempt& attempt,
                                    const Request&... request) const {
    const auto run = [&]() -> decltype(auto) {
      return guard_detail::call_in<Connection, Handler, Request...>(handler_, transaction.connection(),
                                                                    attempt, request...);
    };
    if constexpr (ContentOf::fallible) {
      Returned returned = run();
      if (!returned) return std::move(returned).error();
      if constexpr (std::is_void_v<Content>) {
        work.result.emplace();
      } else {
        work.result.emplace(*std::move(returned));
      }
    } else if constexpr (std::is_void_v<Returned>) {
      run();
      work.result.emplace();
    } else {
      work.result.emplace(run());
    }
    return std::nullopt;
  }

  Ended commit(typename Wrapping::Call& call, Work& work, Transaction<Connection>& transaction, Guard& guard,
               guard_detail::FastClaim& fast) const {
    auto completion = record(work, guard);
    if (!completion.recorded) {
      transaction.rollback();
      const auto error =
          completion.error.value_or(Error{ErrorCode::wrong_state, "the claim is gone from its transaction"});
      if (error.code == ErrorCode::wrong_state)
        guard_detail::throw_ended_transaction(call.policy->operation, error);
      return without(work, error, Step::running);
    }
    work.owner = guard_detail::owner_of(guard);
    work.completion = std::move(completion);
    if (auto done = transaction.commit(); !done) return without(work, done.error(), Step::committing);
    return finished(call, work, guard, fast);
  }

  static Completion record(Work& work, Guard& guard) {
    if (work.error)
      return work.in_doubt ? guard.leave_in_doubt(*work.error) : guard.complete_with_error(*work.error);
    guard_detail::Scratch json;
    if (auto why = Wrapping::encode_result(json.text, *work.result)) return guard.complete_unstored(*why);
    return Access::complete_json(guard, json.text);
  }

  /// After COMMIT: only now may anybody else be told.
  Ended finished(typename Wrapping::Call& call, Work& work, const Guard& guard,
                 guard_detail::FastClaim& fast) const {
    if (work.error) {
      if (!work.in_doubt)
        fast.tell_error(guard.attempt(), guard.fence(), *work.error, call.policy->retention);
      return Wrapping::failed(guard, *work.completion, *work.error);
    }
    if (fast_ != nullptr && work.completion->verdict == Verdict::executed) {
      guard_detail::Scratch json;
      if (!Wrapping::encode_result(json.text, *work.result))
        fast.tell_result(guard.attempt(), guard.fence(), json.text, call.policy->retention);
    }
    return wrapping_.ended(call, guard, *work.completion, *std::move(work.result));
  }

  /// The key is somebody else's, or was this call's own where a COMMIT's answer was lost.
  Ended taken(typename Wrapping::Call& call, Work& work, Transaction<Connection>& transaction,
              const Guard& guard, guard_detail::FastClaim& fast) const {
    bool own = false;
    if (!work.owner.empty()) {
      auto known = guard_detail::is_of(transaction.storage(), call.policy->operation, call.key, work.owner);
      if (!known) return without(work, known.error(), Step::claiming);
      own = *known;
    }
    if (own) return confirmed(call, work, transaction, guard, fast);
    transaction.rollback();
    if (guard.verdict() == Verdict::in_progress && work.rounds.wait(guard.retry_after())) return std::nullopt;
    if (guard.verdict() == Verdict::replayed) tell_replay(guard, fast);
    return wrapping_.answer(call, guard);
  }

  /// What is read back may not have reached a disk that failed: it has where a later COMMIT does.
  Ended confirmed(typename Wrapping::Call& call, Work& work, Transaction<Connection>& transaction,
                  const Guard& guard, guard_detail::FastClaim& fast) const {
    auto written = guard_detail::write_nothing(transaction.storage(), call.policy->operation);
    if (!written) return without(work, written.error(), Step::claiming);
    if (auto done = transaction.commit(); !done) return without(work, done.error(), Step::committing);
    return finished(call, work, guard, fast);
  }

  static void tell_replay(const Guard& guard, guard_detail::FastClaim& fast) {
    const auto left = Access::replay_left(guard).value_or(Duration{});
    if (guard.error()) {
      fast.tell_error(guard.attempt(), guard.fence(), *guard.error(), left);
    } else {
      fast.tell_result(guard.attempt(), guard.fence(), guard.result().to_json(), left);
    }
  }

  static Ended without(Work& work, const Error& error, Step step) {
    if (work.rounds.again(error, step)) return std::nullopt;
    constexpr auto ask_again = std::chrono::milliseconds(200);
    const auto verdict = work.outside ? Verdict::in_doubt : work.rounds.verdict_of(error);
    Outcome<Content> outcome(verdict);
    outcome.with_claim(0, absent, verdict == Verdict::in_progress ? Duration(ask_again) : Duration{});
    return outcome.with_error(error);
  }

  Transactions<Connection>* transactions_;
  std::shared_ptr<Storage> nowhere_;
  Wrapping wrapping_;
  Handler handler_;
  FastPath* fast_;
  std::shared_ptr<const Policy> inside_{};
  std::shared_ptr<const Policy> fast_policy_{};
};

/// Guards a handler whose rows lie in the same database as the keys: as idempotent(), and every call is one
/// transaction. The handler takes the connection, the request and, if it likes, an `Attempt&`:
/// `transactional<Grant>(*transactions, "grant:#{user}", {...}, [](SQLite::Database& database, const Grant&
/// grant) {...})`. It must not end the transaction. The policy's lease is of no account; auto_renew, post,
/// reconcile, storage and on_storage_down other than fail_closed are refused.
/// Throws std::invalid_argument as idempotent().
template <class... Request, class Connection, class Handler>
[[nodiscard]] auto transactional(Transactions<Connection>& transactions,
                                 KeyLiteral<std::type_identity_t<Request>...> key, Policy policy,
                                 Handler handler) {
  return Transactional<Connection, Handler, Request...>(
      transactions, nullptr, guard_detail::bound<Request...>(key), std::move(policy), std::move(handler),
      guard_detail::names_of<decltype(key), sizeof...(Request)>(key));
}

/// The same, asking a fast storage first: a replay it knows never touches the database, and a caller that is
/// at work is seen there, for FastPathOptions::lease. The row in the database decides; the fast storage is
/// told after COMMIT. Losing it at any moment costs speed only.
template <class... Request, class Connection, class Handler>
[[nodiscard]] auto hybrid(FastPath& fast, Transactions<Connection>& transactions,
                          KeyLiteral<std::type_identity_t<Request>...> key, Policy policy, Handler handler) {
  return Transactional<Connection, Handler, Request...>(
      transactions, &fast, guard_detail::bound<Request...>(key), std::move(policy), std::move(handler),
      guard_detail::names_of<decltype(key), sizeof...(Request)>(key));
}

}  // namespace onceward
