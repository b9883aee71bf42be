#pragma once
#include <onceward/core/result.hpp>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace onceward::testing {

/// Stands for a remote reward service in a test: accounts that are credited, each effect once for its token,
/// and calls that go wrong when they are told to. Amounts are integers in minor units.
///
/// A token names one effect: asked for again with the same arguments it gives the same receipt and changes
/// nothing. Everything is kept in memory until the ledger ends; nothing is forgotten. Safe from any thread:
/// calls happen one after another.
class Ledger {
 public:
  /// One effect, as it is answered and kept.
  struct Receipt {
    std::string id;            ///< "r1", "r2", ... in the order of the effects
    std::string token;         ///< of this effect
    std::string account;       ///< whose balance it changed
    std::int64_t amount = 0;   ///< what was added; negative for a reversal
    std::int64_t balance = 0;  ///< of the account right after it
    std::string reverses{};    ///< a reversal: the token of the credit it takes back

    friend bool operator==(const Receipt&, const Receipt&) = default;
  };
  /// Where a call goes wrong.
  enum class Fault : std::uint8_t {
    before,  ///< it never arrives: nothing happened, the caller gets unavailable
    after,   ///< it is carried out and its reply lost, whatever it said: the caller gets in_doubt
  };

  Ledger() = default;
  Ledger(const Ledger&) = delete;
  Ledger& operator=(const Ledger&) = delete;

  /// Adds `amount` to the account, once for the token; an account begins at 0. Errors: invalid_argument (an
  /// empty token or account, one longer than limits::key_bytes, an amount below 1), conflict (the token came
  /// before with other arguments), out_of_range (the balance would leave 64 bits); unavailable and in_doubt
  /// as fail_next ordered. An error other than in_doubt left everything as it was.
  Result<Receipt> credit(std::string_view token, std::string_view account, std::int64_t amount);

  /// Takes the whole effect of a credit back, under a token of its own; a credit is taken back once.
  /// Errors: invalid_argument (an empty or too long token), not_found (no credit has that token), conflict
  /// (the undo's token came before with other arguments), wrong_state (the credit was taken back under
  /// another token); unavailable and in_doubt as fail_next ordered.
  Result<Receipt> reverse(std::string_view credit_token, std::string_view undo_token);

  /// Makes the next `count` calls of credit and reverse go wrong. Orders line up: what is ordered later
  /// strikes the calls after those.
  void fail_next(Fault fault, std::size_t count = 1);
  /// Forgets what fail_next ordered.
  void heal();

  /// What the account holds; 0 where it was never credited.
  [[nodiscard]] std::int64_t balance(std::string_view account) const;
  /// Every effect, in order.
  [[nodiscard]] std::vector<Receipt> effects() const;
  /// Calls of credit and reverse that were made, repeated and failed ones included.
  [[nodiscard]] std::size_t calls() const;

 private:
  struct Order {
    Fault fault;
    std::size_t count;
  };
  template <class Work>
  Result<Receipt> pass(const Work& work);
  [[nodiscard]] const Receipt* find(std::string_view token) const;
  Receipt take_effect(std::string_view token, std::string_view account, std::int64_t amount,
                      std::int64_t balance, std::string_view reverses);

  mutable std::mutex mutex_;
  std::deque<Order> orders_;
  std::size_t calls_ = 0;
  std::vector<Receipt> effects_;
  std::map<std::string, std::size_t, std::less<>> by_token_;  ///< index into effects_
  std::set<std::string, std::less<>> reversed_;               ///< tokens of credits taken back
  std::map<std::string, std::int64_t, std::less<>> balances_;
};

/// Compares a ledger with what must have happened: each of `credits` (tokens) took effect once, those of
/// `reversed` were taken back once, and nothing else happened, under whatever token. Gives a sentence for
/// each difference; none: exactly once.
[[nodiscard]] std::vector<std::string> check_exactly_once(const Ledger& ledger,
                                                          const std::set<std::string>& credits,
                                                          const std::set<std::string>& reversed = {});

}  // namespace onceward::testing
