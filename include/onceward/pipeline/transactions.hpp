#pragma once
#include <onceward/storage/transactions.hpp>

#include <functional>
#include <memory>
#include <type_traits>
#include <utility>

namespace onceward {

/// What a tx step writes its rows with, whatever database it belongs to.
class StepConnection {
 public:
  StepConnection() = default;
  template <class Connection>
  [[nodiscard]] static StepConnection of(Connection connection) noexcept {
    StepConnection made;
    made.kind_ = &kind<Connection>;
    if constexpr (std::is_reference_v<Connection>)
      made.object_ = &connection;
    else
      made.object_ = connection;
    return made;
  }
  /// Null where it is none of this type.
  template <class Connection>
  [[nodiscard]] std::remove_reference_t<std::remove_pointer_t<Connection>>* as() const noexcept {
    using Object = std::remove_reference_t<std::remove_pointer_t<Connection>>;
    return kind_ == &kind<Connection> ? static_cast<Object*>(object_) : nullptr;
  }

 private:
  template <class Connection>
  static constexpr char kind = 0;
  const void* kind_ = nullptr;
  void* object_ = nullptr;
};

/// One open transaction for one call of a tx step. Destroyed before it was committed it is rolled back.
class StepTransaction {
 public:
  virtual ~StepTransaction() = default;
  /// As those of Transaction.
  [[nodiscard]] virtual StepConnection connection() noexcept = 0;
  [[nodiscard]] virtual Storage& storage() noexcept = 0;
  virtual Result<void> commit() = 0;
  virtual void rollback() noexcept = 0;

 protected:
  StepTransaction() = default;
  StepTransaction(const StepTransaction&) = default;
  StepTransaction& operator=(const StepTransaction&) = default;
};
/// Opens one. Errors: those of Transactions::begin.
using StepTransactions = std::function<Result<std::unique_ptr<StepTransaction>>()>;

/// Transactions of the database that the runner's storage lies in: `sqlite::transactions` on the same file,
/// `mariadb::transactions` on the same database. They must outlive the runner.
template <class Connection>
[[nodiscard]] StepTransactions step_transactions(Transactions<Connection>& transactions) {
  class Open final : public StepTransaction {
   public:
    explicit Open(std::unique_ptr<Transaction<Connection>> inner) : inner_(std::move(inner)) {}
    StepConnection connection() noexcept override {
      return StepConnection::of<Connection>(inner_->connection());
    }
    Storage& storage() noexcept override { return inner_->storage(); }
    Result<void> commit() override { return inner_->commit(); }
    void rollback() noexcept override { inner_->rollback(); }

   private:
    std::unique_ptr<Transaction<Connection>> inner_;
  };
  return [&transactions]() -> Result<std::unique_ptr<StepTransaction>> {
    auto begun = transactions.begin();
    if (!begun) return fail(std::move(begun).error());
    return std::unique_ptr<StepTransaction>(std::make_unique<Open>(*std::move(begun)));
  };
}

}  // namespace onceward
