// A call of a tx step: its rows and the record that it is done are one transaction, so that both are there or
// neither. Who lost the lease is refused within it, and its rows with it.
#include "pipeline/driver.hpp"

#include <fmt/format.h>

#include <array>
#include <thread>

namespace onceward::pipeline_detail {

/// Its lease is not renewed meanwhile: on a database with one writer the renewal would wait for the
/// transaction, and on others the fence within it is what protects.
Result<void> Driver::call_in_transaction(Held& held, std::span<Held*> leased, const std::stop_token& stop) {
  std::array<Held*, 1> one{&held};
  const auto begun = Keeper::Clock::now();
  auto calls = ready_of(one, begun);
  auto& item = calls.front();
  const Call call = *item.call;
  auto transaction = options_.transactions
                         ? options_.transactions()
                         : Result<std::unique_ptr<StepTransaction>>(
                               fail(ErrorCode::wrong_state, "the runner has no transactions for tx steps"));
  if (transaction) {
    const Leased kept(*this, leased, begun, stop, &held);
    call_some(calls, stop, (*transaction)->connection());
  } else {
    item.outcome = Retry{fmt::format("no transaction: {}", describe(transaction.error()))};
  }
  const bool done = std::holds_alternative<Done>(item.outcome);
  if (!done && transaction) (*transaction)->rollback();
  Run before = done ? held.run : Run();
  const auto revision = held.revision;
  const auto ended = Keeper::Clock::now();
  take_in(item, ended, stop);
  move_on(held, ended, stop);
  if (!done) return record(one);
  const auto committed = commit_call(held, **transaction);
  if (held.lost) return {};
  if (!committed) {
    take_back(held, std::move(before), revision, call,
              fmt::format("the transaction was undone: {}", describe(committed.error())));
    return record(one);
  }
  return held.asked ? look_again(one) : Result<void>();
}

/// An error means that nothing is there of it.
Result<void> Driver::commit_call(Held& held, StepTransaction& transaction) {
  ++held.run.serial;
  for (;;) {
    const auto batch = batch_of(held);
    const auto written = transaction.storage().commit({&batch, 1});
    if (!written) {
      transaction.rollback();
      return fail(written.error());
    }
    const auto& answer = written->batches[0];
    if (answer.applied()) {
      applied(held, answer, written->now);
      break;
    }
    if (turn_refused(held, answer) || settle(held, answer.found)) continue;
    transaction.rollback();
    if (held.lost) return {};
    return fail(ErrorCode::conflict, "the run's record shows a write that this transaction did not make");
  }
  auto committed = transaction.commit();
  if (committed) return {};
  if (retry_advice(committed.error().code) != RetryAdvice::read_back) return committed;
  // Whether it happened shows in the record, which only this holding writes until its lease ends.
  const auto give_up = std::chrono::steady_clock::now() + options_.lease;
  for (auto pause = std::chrono::milliseconds(10);; pause *= 2) {
    const auto stored = read_one(storage_, held.partition, held.record_key);
    if (stored) {
      if (!*stored) return committed;
      const auto other = decode_run(**stored);
      const bool landed = other && other->owner == held.run.owner && other->serial == held.run.serial;
      if (landed) held.revision = (*stored)->revision;
      return landed ? Result<void>() : committed;
    }
    if (std::chrono::steady_clock::now() > give_up) {
      held.lost = held.view();
      held.lost->state = RunState::running;
      held.lost->reason = "in_doubt: whether its last transaction happened shows in its record";
      return {};
    }
    std::this_thread::sleep_for(pause);
  }
}

/// The run as it was before the call, which is tried again. It has another owner from here on: should the
/// transaction happen after all, this holding is refused like anybody else's.
void Driver::take_back(Held& held, Run before, Revision revision, Call call, std::string reason) {
  held.run = std::move(before);
  held.run.owner = new_owner();
  held.run.serial = 0;
  held.revision = revision;
  call.place = find_place(held.run, call.path);
  held.calls.clear();
  held.made.clear();
  apply(held.run, call, Retry{std::move(reason)}, random_chance(), held.time());
  if (held.run.state == RunState::running)
    held.advance_to_calls();
  else
    held.next = {};
}

}  // namespace onceward::pipeline_detail
