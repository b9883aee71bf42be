#pragma once
#include <onceward/idempotency/idempotent.hpp>
#include <onceward/idempotency/transaction_rounds.hpp>
#include <onceward/storage/transactions.hpp>

namespace onceward {

namespace guard_detail {

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

  Transactional(Guards* guards, Transactions<Connection>& transactions, FastPath* fast,
                BoundKey<Request...> key, Policy policy, Handler handler,
                std::array<std::string_view, sizeof...(Request)> names = {})
      : transactions_(&transactions),
        nowhere_(guard_detail::nowhere()),
        wrapping_(guards != nullptr ? GuardedBy(*guards) : GuardedBy(*nowhere_), std::move(key), policy,
                  names),
        handler_(std::move(handler)),
        fast_(fast),
        policies_(std::make_shared<guard_detail::TransactionPolicies>(fast)) {
    if (auto fine = guard_detail::check_transactional(policy); !fine)
      throw std::invalid_argument(describe(fine.error()));
  }

  /// Opens a transaction, claims the key, runs the handler behind a savepoint and commits; or says that the
  /// key is taken, or gives the stored outcome again. However the handler ends, that is recorded in this very
  /// transaction: who waits for the key never gets in between.
  /// - The handler throws: its rows are undone, the key is given back with its attempt counted, the exception
  ///   passes through, the next call runs. After Attempt::effects_started() the key is left in doubt.
  /// - It returns an error: its rows are undone. Retryable: given back, its attempt counted. Final or in
  /// doubt:
  ///   stored.
  /// - Another transaction is in the way (a deadlock, a lock that is not given): repeated for
  ///   Policy::record_limit, the handler too; with OnBusy::wait for wait_limit. Then in_progress.
  /// - The database undid the whole transaction, or the connection is lost, while the handler failed: what
  /// must
  ///   be remembered is recorded in a further transaction, for record_limit. Another caller may run before
  ///   that: where this one had effects outside, it gets lease_lost.
  /// - COMMIT's answer is lost: the next transaction finds out whether it happened. Where it did the call has
  ///   executed; where it did not the handler runs again, unless effects_started. in_doubt where the database
  ///   stays away for record_limit: call again.
  /// - `stop` is requested before the handler runs: in_progress, and nothing ran. It ends the waits for a
  ///   connection, between the rounds, and for SQLite's file; a wait for a lock of MariaDB ends by its
  ///   timeout.
  /// Throws DuplicateCall where the policy says raise; std::logic_error where the handler ended the
  /// transaction, or went on and returned a value after the database had undone it: in doubt after
  /// effects_started, else nothing is recorded, and a claim that the handler committed ends with its lease.
  Outcome<Content> operator()(const Request&... request, std::stop_token stop = {}) const {
    typename Wrapping::Call call;
    if (auto known = wrapping_.begin(call, request...)) return *std::move(known);
    guard_detail::CountedCall counted(wrapping_.counters());
    const auto policies = policies_->made_of(call.policy);
    if (fast_ == nullptr) {
      guard_detail::FastClaim none;
      return in_database({call, *policies, counted, none}, std::move(stop), request...);
    }
    guard_detail::FastClaim fast(*fast_, call.key, policies->fast, call.fingerprint(), stop);
    if (const auto* guard = fast.answer()) {
      counted.ends_as(guard->verdict());
      return wrapping_.answer(call, *guard);
    }
    return in_database({call, *policies, counted, fast}, std::move(stop), request...);
  }

 private:
  using Wrapping = guard_detail::Wrapping<Content, Request...>;
  using Kept = typename Wrapping::Content;
  using Step = guard_detail::Rounds::Step;
  using Access = guard_detail::GuardAccess;
  using Open = Transaction<Connection>;

  /// What the rounds of one call work with.
  struct Called {
    typename Wrapping::Call& call;
    const guard_detail::TransactionPolicies::Made& policies;
    guard_detail::CountedCall& counted;
    guard_detail::FastClaim& fast;
  };
  /// What they know of each other.
  struct Work {
    guard_detail::Rounds rounds;
    std::optional<Kept> result{};            ///< of the last run
    std::optional<Error> error{};            ///< how the work ended: what is left is to record it
    std::exception_ptr thrown{};             ///< what passes through after that
    bool in_doubt = false;                   ///< how `error` is recorded
    bool outside = false;                    ///< a run may have had an effect that no rollback undoes
    std::string owner{};                     ///< of the last claim
    std::optional<Completion> completion{};  ///< what the run whose COMMIT failed would have ended with

    void end_with(Error why, bool is_in_doubt) {
      error = std::move(why);
      in_doubt = is_in_doubt;
      rounds.must_record();
    }
    void leave_in_doubt(std::string message) { end_with({ErrorCode::in_doubt, std::move(message)}, true); }
  };
  using Ended = std::optional<Outcome<Content>>;  ///< of a round; empty: another one follows

  Outcome<Content> in_database(const Called& called, std::stop_token stop, const Request&... request) const {
    Work work{guard_detail::Rounds(*called.call.policy, std::move(stop))};
    Ended ended;
    while (!ended) ended = round(called, work, request...);
    if (work.thrown) std::rethrow_exception(work.thrown);
    return *std::move(ended);
  }

  Ended round(const Called& called, Work& work, const Request&... request) const {
    auto opened = transactions_->begin(work.rounds.stop());
    if (!opened) return without(called, work, opened.error(), Step::beginning);
    auto& transaction = **opened;
    const auto& call = called.call;
    auto guard = Access::claim(transaction.storage(), call.key, called.policies.inside, nullptr,
                               call.fingerprint(), {});
    if (!guard) return undone(called, work, transaction, guard.error(), Step::claiming);
    if (!guard->acquired()) return taken(called, work, transaction, *guard);
    work.rounds.settled();
    work.owner = guard_detail::owner_of(*guard);
    if (work.outside && !work.error)
      work.leave_in_doubt("the transaction was undone after effects outside of it had started");
    if (work.error) return commit(called, work, transaction, *guard);
    if (work.rounds.stop().stop_requested()) {
      const Error stopped{ErrorCode::timeout, "the call was stopped before its handler ran"};
      return undone(called, work, transaction, stopped, Step::claiming);
    }
    if (auto marked = transaction.set_savepoint(); !marked)
      return undone(called, work, transaction, marked.error(), Step::claiming);
    return run(called, work, transaction, *guard, request...);
  }

  Ended run(const Called& called, Work& work, Open& transaction, Guard& guard,
            const Request&... request) const {
    auto attempt = wrapping_.attempt_of(called.call, guard);
    std::optional<Error> error;
    std::exception_ptr thrown;
    auto kind = ErrorClass::retryable;
    try {
      error = call_handler(work, transaction, attempt, request...);
      if (error) kind = Wrapping::class_of(*called.call.policy, *error, attempt.have_effects_started());
    } catch (...) {
      thrown = std::current_exception();
    }
    work.outside = attempt.have_effects_started();
    if (thrown) {
      if (work.outside) kind = ErrorClass::in_doubt;
      error = Error{ErrorCode::in_doubt, "the handler threw after its effects had started"};
    }
    if (!error) {
      if (auto kept = transaction.release_savepoint(); !kept)
        return ended_by_handler(called, work, transaction, kept.error());
      return commit(called, work, transaction, guard);
    }
    // Asked before the connection is used again.
    const bool conflict = transaction.conflicted();
    if (kind == ErrorClass::retryable) {
      if (conflict && !work.outside) {
        transaction.rollback();
        const Error why{ErrorCode::timeout, "another transaction was in the way of the handler's"};
        if (work.rounds.again(why, Step::running)) return std::nullopt;
        called.counted.ends_as(CallEnd::released);
        if (thrown) std::rethrow_exception(thrown);
        return Wrapping::failed(guard, {}, *error);
      }
      return give_back(called, work, transaction, guard, *error, thrown);
    }
    work.thrown = thrown;
    work.end_with(*std::move(error), kind == ErrorClass::in_doubt);
    if (auto back = transaction.undo_to_savepoint(); !back) {
      if (back.error().code == ErrorCode::wrong_state && !conflict && !work.in_doubt)
        return ended_by_handler(called, work, transaction, back.error());
      transaction.rollback();
      return std::nullopt;  // it is recorded in the next one
    }
    return commit(called, work, transaction, guard);
  }

  /// The work failed and nothing took effect: what counts is that the next call may run. Where the attempt
  /// cannot be recorded it was not there.
  Ended give_back(const Called& called, Work& work, Open& transaction, Guard& guard, const Error& error,
                  const std::exception_ptr& thrown) const {
    called.counted.ends_as(CallEnd::released);
    auto undone = transaction.undo_to_savepoint();
    if (!undone && undone.error().code == ErrorCode::wrong_state && !thrown)
      return ended_by_handler(called, work, transaction, undone.error());
    if (undone && guard_detail::give_back(guard)) {
      (void)transaction.commit();
    } else {
      transaction.rollback();
    }
    if (thrown) std::rethrow_exception(thrown);
    return Wrapping::failed(guard, {}, error);
  }

  /// The savepoint is gone, and with it all that could be recorded here. Who lost his connection may try
  /// again.
  Ended ended_by_handler(const Called& called, Work& work, Open& transaction, const Error& error) const {
    if (error.code == ErrorCode::unavailable) return undone(called, work, transaction, error, Step::running);
    transaction.rollback();
    called.counted.ends_as(CallEnd::unrecorded);
    work.thrown = guard_detail::ended_transaction(called.call.policy->operation);
    if (!work.outside) std::rethrow_exception(work.thrown);
    work.leave_in_doubt("the handler ended its transaction after its effects had started");
    return std::nullopt;
  }

  std::optional<Error> call_handler(Work& work, Open& transaction, Attempt& attempt,
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

  Ended commit(const Called& called, Work& work, Open& transaction, Guard& guard) const {
    auto completion = record(work, guard);
    if (!completion.recorded) {
      const auto error =
          completion.error.value_or(Error{ErrorCode::conflict, "the claim is gone from its transaction"});
      return undone(called, work, transaction, error, Step::running);
    }
    work.completion = std::move(completion);
    if (auto done = transaction.commit(); !done) return without(called, work, done.error(), Step::committing);
    return finished(called, work, guard);
  }

  static Completion record(Work& work, Guard& guard) {
    if (work.error)
      return work.in_doubt ? guard.leave_in_doubt(*work.error) : guard.complete_with_error(*work.error);
    guard_detail::Scratch json;
    if (auto why = Wrapping::encode_result(json.text, *work.result)) return guard.complete_unstored(*why);
    return Access::complete_json(guard, json.text);
  }

  /// After COMMIT: only now may anybody else be told.
  Ended finished(const Called& called, Work& work, const Guard& guard) const {
    auto& [call, policies, counted, fast] = called;
    if (work.error) {
      counted.ends_as(work.in_doubt ? CallEnd::left_in_doubt : CallEnd::failed, *work.completion);
      if (!work.in_doubt)
        fast.tell_error(guard.attempt(), guard.fence(), *work.error, call.policy->retention);
      return Wrapping::failed(guard, *work.completion, *work.error);
    }
    counted.ends_as(CallEnd::executed, *work.completion);
    if (fast_ != nullptr && work.completion->verdict == Verdict::executed) {
      guard_detail::Scratch json;
      if (!Wrapping::encode_result(json.text, *work.result))
        fast.tell_result(guard.attempt(), guard.fence(), json.text, call.policy->retention);
    }
    return wrapping_.ended(call, guard, *work.completion, *std::move(work.result));
  }

  /// The key is somebody else's, or was this call's own where a COMMIT's answer was lost.
  Ended taken(const Called& called, Work& work, Open& transaction, const Guard& guard) const {
    auto& [call, policies, counted, fast] = called;
    if (!work.owner.empty()) {
      const auto left =
          guard_detail::left_by(transaction.storage(), call.policy->operation, call.key, work.owner);
      if (!left) return undone(called, work, transaction, left.error(), Step::claiming);
      if (*left == guard_detail::Left::end) return confirmed(called, work, transaction, guard);
      if (*left == guard_detail::Left::claim) {
        // Who committed it was the handler: what became of its work is not known here.
        counted.ends_as(CallEnd::unrecorded);
        std::rethrow_exception(guard_detail::ended_transaction(call.policy->operation));
      }
    }
    transaction.rollback();
    if (work.outside && guard.verdict() != Verdict::in_doubt) return lost(called, work, guard);
    if (guard.verdict() == Verdict::in_progress && work.rounds.wait(guard.retry_after())) return std::nullopt;
    counted.ends_as(guard.verdict());
    if (guard.verdict() == Verdict::replayed) tell_replay(guard, fast);
    return wrapping_.answer(call, guard);
  }

  /// It ran with effects that no rollback undid, and the key is another's by now.
  static Ended lost(const Called& called, const Work& work, const Guard& guard) {
    called.counted.ends_as(CallEnd::lease_lost);
    const Error why{ErrorCode::in_doubt,
                    "the transaction was undone after effects outside of it had started"};
    return Wrapping::failed(guard, {.verdict = Verdict::lease_lost}, work.error.value_or(why));
  }

  /// What is read back may not have reached a disk that failed: it has where a later COMMIT does.
  Ended confirmed(const Called& called, Work& work, Open& transaction, const Guard& guard) const {
    auto written = guard_detail::write_nothing(transaction.storage(), called.call.policy->operation);
    if (!written) return undone(called, work, transaction, written.error(), Step::claiming);
    if (auto done = transaction.commit(); !done) return without(called, work, done.error(), Step::committing);
    return finished(called, work, guard);
  }

  static void tell_replay(const Guard& guard, guard_detail::FastClaim& fast) {
    const auto left = Access::replay_left(guard).value_or(Duration{});
    if (guard.error()) {
      fast.tell_error(guard.attempt(), guard.fence(), *guard.error(), left);
    } else {
      fast.tell_result(guard.attempt(), guard.fence(), guard.result().to_json(), left);
    }
  }

  /// Nothing is held while the next round is waited for.
  static Ended undone(const Called& called, Work& work, Open& transaction, const Error& error, Step step) {
    transaction.rollback();
    return without(called, work, error, step);
  }
  static Ended without(const Called& called, Work& work, const Error& error, Step step) {
    if (work.rounds.again(error, step)) return std::nullopt;
    constexpr auto ask_again = std::chrono::milliseconds(200);
    const auto verdict = work.outside ? Verdict::in_doubt : work.rounds.verdict_of(error);
    if (verdict == Verdict::in_doubt) {
      called.counted.ends_as(CallEnd::unrecorded);
    } else {
      called.counted.ends_as(verdict);
    }
    Outcome<Content> outcome(verdict);
    outcome.with_claim(0, absent, verdict == Verdict::in_progress ? Duration(ask_again) : Duration{})
        .with_recorded(verdict != Verdict::in_doubt);
    return outcome.with_error(error);
  }

  Transactions<Connection>* transactions_;
  std::shared_ptr<Storage> nowhere_;
  Wrapping wrapping_;
  Handler handler_;
  FastPath* fast_;
  std::shared_ptr<guard_detail::TransactionPolicies> policies_;
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
      nullptr, transactions, nullptr, guard_detail::bound<Request...>(key), std::move(policy),
      std::move(handler), guard_detail::names_of<decltype(key), sizeof...(Request)>(key));
}

/// The same, counted by Guards (figures()) and under the live policies of theirs; their storage is not asked,
/// their thread not needed. Of an override the fields that are refused above change nothing, and reconcile is
/// in_doubt. `guards` must outlive what is made.
template <class... Request, class Connection, class Handler>
[[nodiscard]] auto transactional(Guards& guards, Transactions<Connection>& transactions,
                                 KeyLiteral<std::type_identity_t<Request>...> key, Policy policy,
                                 Handler handler) {
  return Transactional<Connection, Handler, Request...>(
      &guards, transactions, nullptr, guard_detail::bound<Request...>(key), std::move(policy),
      std::move(handler), guard_detail::names_of<decltype(key), sizeof...(Request)>(key));
}

/// A transactional call that asks a fast storage first: a replay it knows never touches the database, and a
/// caller that is at work is seen there, for FastPathOptions::lease. The row in the database decides; the
/// fast storage is told after COMMIT. Losing it at any moment costs speed only.
template <class... Request, class Connection, class Handler>
[[nodiscard]] auto hybrid(FastPath& fast, Transactions<Connection>& transactions,
                          KeyLiteral<std::type_identity_t<Request>...> key, Policy policy, Handler handler) {
  return Transactional<Connection, Handler, Request...>(
      nullptr, transactions, &fast, guard_detail::bound<Request...>(key), std::move(policy),
      std::move(handler), guard_detail::names_of<decltype(key), sizeof...(Request)>(key));
}

/// The same with Guards, as above.
template <class... Request, class Connection, class Handler>
[[nodiscard]] auto hybrid(Guards& guards, FastPath& fast, Transactions<Connection>& transactions,
                          KeyLiteral<std::type_identity_t<Request>...> key, Policy policy, Handler handler) {
  return Transactional<Connection, Handler, Request...>(
      &guards, transactions, &fast, guard_detail::bound<Request...>(key), std::move(policy),
      std::move(handler), guard_detail::names_of<decltype(key), sizeof...(Request)>(key));
}

}  // namespace onceward
