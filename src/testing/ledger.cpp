#include <onceward/core/limits.hpp>
#include <onceward/testing/ledger.hpp>

#include <limits>
#include <utility>

namespace onceward::testing {
namespace {

Result<void> check_name(std::string_view what, std::string_view name) {
  if (!name.empty() && name.size() <= limits::key_bytes) return {};
  return fail(ErrorCode::invalid_argument, std::string(what) + " has " + std::to_string(name.size()) +
                                               " bytes; 1 to " + std::to_string(limits::key_bytes) +
                                               " are allowed");
}

}  // namespace

template <class Work>
Result<Ledger::Receipt> Ledger::pass(const Work& work) {
  const std::lock_guard lock(mutex_);
  ++calls_;
  if (orders_.empty()) return work();
  const auto fault = orders_.front().fault;
  if (--orders_.front().count == 0) orders_.pop_front();
  if (fault == Fault::before)
    return fail(ErrorCode::unavailable, "a fault the test asked for, before the call");
  (void)work();
  return fail(ErrorCode::in_doubt, "a fault the test asked for: the reply is lost");
}

const Ledger::Receipt* Ledger::find(std::string_view token) const {
  const auto found = by_token_.find(token);
  return found == by_token_.end() ? nullptr : &effects_[found->second];
}

Ledger::Receipt Ledger::take_effect(std::string_view token, std::string_view account, std::int64_t amount,
                                    std::int64_t balance, std::string_view reverses) {
  by_token_.emplace(token, effects_.size());
  balances_.insert_or_assign(std::string(account), balance);
  return effects_.emplace_back(Receipt{.id = "r" + std::to_string(effects_.size() + 1),
                                       .token = std::string(token),
                                       .account = std::string(account),
                                       .amount = amount,
                                       .balance = balance,
                                       .reverses = std::string(reverses)});
}

Result<Ledger::Receipt> Ledger::credit(std::string_view token, std::string_view account,
                                       std::int64_t amount) {
  return pass([&]() -> Result<Receipt> {
    if (auto checked = check_name("the token", token); !checked) return fail(std::move(checked).error());
    if (auto checked = check_name("the account", account); !checked) return fail(std::move(checked).error());
    if (amount < 1) return fail(ErrorCode::invalid_argument, "the amount of a credit is 1 at least");
    if (const auto* known = find(token)) {
      if (known->account == account && known->amount == amount) return *known;  // a reversal's is negative
      return fail(ErrorCode::conflict, "the token came before with other arguments");
    }
    const auto held = balances_.find(account);
    const auto balance = held == balances_.end() ? 0 : held->second;
    if (balance > std::numeric_limits<std::int64_t>::max() - amount)
      return fail(ErrorCode::out_of_range, "the balance would leave 64 bits");
    return take_effect(token, account, amount, balance + amount, {});
  });
}

Result<Ledger::Receipt> Ledger::reverse(std::string_view credit_token, std::string_view undo_token) {
  return pass([&]() -> Result<Receipt> {
    if (auto checked = check_name("the credit's token", credit_token); !checked)
      return fail(std::move(checked).error());
    if (auto checked = check_name("the undo's token", undo_token); !checked)
      return fail(std::move(checked).error());
    if (const auto* known = find(undo_token)) {
      if (known->reverses == credit_token) return *known;
      return fail(ErrorCode::conflict, "the undo's token came before with other arguments");
    }
    const auto* credit = find(credit_token);
    if (credit == nullptr || !credit->reverses.empty())
      return fail(ErrorCode::not_found, "no credit has this token");
    if (!reversed_.emplace(credit_token).second)
      return fail(ErrorCode::wrong_state, "the credit was taken back before, under another token");
    const std::string account = credit->account;  // the next effect may move the receipts
    const auto amount = credit->amount;
    return take_effect(undo_token, account, -amount, balances_.find(account)->second - amount, credit_token);
  });
}

void Ledger::fail_next(Fault fault, std::size_t count) {
  const std::lock_guard lock(mutex_);
  if (count > 0) orders_.push_back({fault, count});
}

void Ledger::heal() {
  const std::lock_guard lock(mutex_);
  orders_.clear();
}

std::int64_t Ledger::balance(std::string_view account) const {
  const std::lock_guard lock(mutex_);
  const auto held = balances_.find(account);
  return held == balances_.end() ? 0 : held->second;
}

std::vector<Ledger::Receipt> Ledger::effects() const {
  const std::lock_guard lock(mutex_);
  return effects_;
}

std::size_t Ledger::calls() const {
  const std::lock_guard lock(mutex_);
  return calls_;
}

std::vector<std::string> check_exactly_once(const Ledger& ledger, const std::set<std::string>& credits,
                                            const std::set<std::string>& reversed) {
  std::vector<std::string> differences;
  std::map<std::string, int> done;
  std::map<std::string, int> back;
  for (const auto& effect : ledger.effects())
    ++(effect.reverses.empty() ? done[effect.token] : back[effect.reverses]);
  const auto compare = [&](const std::set<std::string>& wanted, const std::map<std::string, int>& found,
                           const std::string& what) {
    for (const auto& token : wanted) {
      if (!found.contains(token)) differences.push_back(token + " was not " + what);
    }
    for (const auto& [token, times] : found) {
      if (!wanted.contains(token)) differences.push_back(token + " was " + what + " and must not be");
      if (times > 1) differences.push_back(token + " was " + what + " " + std::to_string(times) + " times");
    }
  };
  compare(credits, done, "credited");
  compare(reversed, back, "taken back");
  return differences;
}

}  // namespace onceward::testing
