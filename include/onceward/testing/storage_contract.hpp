#pragma once
#include <onceward/storage/storage.hpp>
#include <onceward/testing/fake_clock.hpp>

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

/// The storage contract as running cases, free of any test framework: whoever writes a storage runs them over
/// it. A case is a sentence that holds for every storage; a failure says in which file and line it did not.
namespace onceward::testing {

/// A storage to run the contract over.
struct StorageUnderTest {
  using Open = std::function<Result<std::unique_ptr<Storage>>(const Clock& clock)>;

  std::string name;        ///< for messages
  Open open_fresh;         ///< a storage over no data, on this clock, of at least 4 shards
  Open reopen{};           ///< the data of the last open_fresh again, after it was closed; empty: not durable
  bool concurrent = true;  ///< calls may come from several threads at once
  /// Times are as they were set, and the clock may be set back. False for a storage that moves its records
  /// between clocks while it is used: due times and expiries then get later by what a move takes.
  bool one_clock = true;
};

/// Where in the source a check stands: a default argument that is filled in at the place of the call.
struct Here {
  const char* file = "";
  int line = 0;
  static constexpr Here current(const char* file = __builtin_FILE(), int line = __builtin_LINE()) noexcept {
    return {file, line};
  }
};

/// What a case works with: a storage of its own and the clock it goes by. The checks may be called from any
/// thread, the rest from the case's own. The StorageUnderTest must outlive it.
class Contract {
 public:
  explicit Contract(const StorageUnderTest& subject);

  [[nodiscard]] Storage& storage() { return *storage_; }
  [[nodiscard]] FakeClock& clock() { return clock_; }
  /// Closes the storage and opens it again over the same data. Ends the case where that fails.
  void reopen(Here here = Here::current());

  /// Records a failure where `held` is false, and gives `held` back.
  bool expect(bool held, std::string_view what, Here here = Here::current());
  void add_failure(std::string_view what, Here here = Here::current());
  /// Ends the case, or the thread of it, as failed: what follows could not be judged.
  [[noreturn]] void give_up(std::string_view what, Here here = Here::current());

  [[nodiscard]] std::vector<std::string> failures() const;

 private:
  void take(Result<std::unique_ptr<Storage>> opened, std::string_view doing, Here here);

  const StorageUnderTest& subject_;
  FakeClock clock_;
  std::unique_ptr<Storage> storage_;
  mutable std::mutex mutex_;
  std::vector<std::string> failures_;
};

/// What a case needs beyond the four calls. A case whose need is not met is skipped.
struct ContractNeeds {
  bool threads = false;
  bool reopening = false;
  bool one_clock = false;
};

/// One sentence of the contract.
struct ContractCase {
  std::string_view name;
  void (*run)(Contract& contract);
  ContractNeeds needs{};
};

/// What became of a case: kept, where it was neither skipped nor has failures ("file:line: what").
struct ContractOutcome {
  std::string skipped{};  ///< the reason; empty: it ran
  std::vector<std::string> failures{};
  [[nodiscard]] bool kept() const noexcept { return skipped.empty() && failures.empty(); }
};

/// Every case, in the order of a reader: single writes first, concurrency last.
[[nodiscard]] std::vector<ContractCase> storage_contract();

/// Runs one case over a storage of its own. Throws nothing: an exception of the storage is a failure.
[[nodiscard]] ContractOutcome run_case(const ContractCase& contract_case, const StorageUnderTest& subject);

}  // namespace onceward::testing
