#pragma once
#include <SQLiteCpp/Database.h>

#include <cstdint>
#include <mutex>
#include <optional>
#include <string>

namespace payments {

/// What a request asks for. The key is the client's, the merchant whom it belongs to.
struct Payment {
  std::string key;
  std::string merchant;
  std::string account;
  std::int64_t pence = 0;
};
/// One charge as the business keeps it.
struct Charge {
  std::int64_t id = 0;
  std::string account;
  std::int64_t pence = 0;
  std::int64_t spent = 0;  ///< of the account, with this charge
};

/// The business's own database: accounts, and charges unique by (merchant, key).
///
/// Why a kill -9 is safe. The guard's claim lies in another database than the charge, so a process can die
/// between the two writes: the lease then lapses and the charge is asked for again, as it is by an owner that
/// wakes too late. Therefore the key is written with the charge, in one transaction: a second run finds its
/// row, changes nothing and gives the same charge. The guard keeps concurrent callers apart and stores the
/// response; the row decides. Any thread may call; calls happen one after another. SQLite::Exception passes
/// through: then nothing is charged, or the row is found by the next call.
class Ledger {
 public:
  static constexpr std::int64_t limit_pence = 1'000'000;  ///< an account spends no more than this

  explicit Ledger(const std::string& file);

  /// The charge of this payment, made now or before; nothing where the account would pass its limit. What was
  /// found may be of another payload once the guard's retention has ended: compare.
  std::optional<Charge> charge(const Payment& payment);

 private:
  std::optional<Charge> find(const Payment& payment);

  std::mutex mutex_;
  SQLite::Database database_;
};

}  // namespace payments
