#pragma once
#include <onceward/core/result.hpp>
#include <onceward/storage/mariadb.hpp>

#include <mysql.h>

#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace onceward::mariadb::detail {

/// Carries an error of the server or the client library up to where a call ends.
class Failure : public std::runtime_error {
 public:
  explicit Failure(Error error, bool lost = false)
      : std::runtime_error(error.message), error_(std::move(error)), lost_(lost) {}
  [[nodiscard]] const Error& error() const noexcept { return error_; }
  /// The connection is gone: what was sent may have been heard.
  [[nodiscard]] bool lost() const noexcept { return lost_; }
  /// The server undid the transaction, or could not get a lock: repeating it is harmless.
  [[nodiscard]] bool undone() const noexcept;
  /// A statement that commits, and ended like this, may have committed.
  [[nodiscard]] bool unsettled() const noexcept;
  /// A row of this key is there.
  [[nodiscard]] bool duplicate() const noexcept;

 private:
  Error error_;
  bool lost_;
};

/// A value on its way to the server. Texts are not copied.
class Parameter {
 public:
  Parameter(std::string_view text) noexcept : text_(text), is_text_(true) {}
  Parameter(std::int64_t number) noexcept : number_(number) {}
  Parameter(std::optional<Timestamp> time) noexcept
      : number_(time ? time->time_since_epoch().count() : 0), is_null_(!time) {}

  void bind(MYSQL_BIND& bind) const noexcept;
  [[nodiscard]] std::size_t bytes() const noexcept { return is_text_ ? text_.size() : sizeof number_; }

 private:
  std::string_view text_{};
  std::int64_t number_ = 0;
  bool is_text_ = false;
  bool is_null_ = false;
};

/// A prepared statement and the row it stands on.
class Statement {
 public:
  Statement(MYSQL* connection, std::string_view text);

  /// Runs it; the rows are read with `next`.
  void run(const std::vector<Parameter>& parameters);
  /// The next row; false at the end.
  bool next();
  [[nodiscard]] std::int64_t number(unsigned column) const { return columns_[column].number; }
  /// Of the last run: rows inserted or found different; the number given to LAST_INSERT_ID(..).
  [[nodiscard]] std::int64_t changed() const;
  [[nodiscard]] std::int64_t last_id() const;
  [[nodiscard]] bool null(unsigned column) const { return columns_[column].null != 0; }
  [[nodiscard]] std::string text(unsigned column);

 private:
  struct Close {
    void operator()(MYSQL_STMT* statement) const noexcept { mysql_stmt_close(statement); }
  };
  struct Column {
    std::int64_t number = 0;
    unsigned long length = 0;
    my_bool null = 0;
    bool is_number = false;
  };
  void bind_columns();

  std::unique_ptr<MYSQL_STMT, Close> statement_;
  std::vector<MYSQL_BIND> bound_;
  std::vector<MYSQL_BIND> results_;
  std::vector<Column> columns_;
};

/// An open connection and the statements prepared on it. One thread at a time.
class Connection {
 public:
  /// Of our own, set up as the storage needs it. Throws Failure.
  explicit Connection(const Options& options);
  /// A caller's.
  explicit Connection(MYSQL* borrowed) noexcept : connection_(borrowed, Close{false}) {}

  /// Prepared once; the same text gives the same statement.
  Statement& prepare(const std::string& text);
  /// Runs a command without parameters or rows: BEGIN, COMMIT, CREATE TABLE.
  void command(const char* text);
  /// False where the server has closed it meanwhile: what is sent on it would be in doubt for nothing.
  [[nodiscard]] bool alive() const noexcept;
  /// The server is a node of a Galera cluster. Throws Failure.
  [[nodiscard]] bool is_galera();
  [[nodiscard]] MYSQL* get() const noexcept { return connection_.get(); }
  /// Its name at the server, whatever happens to the line between: a lock that it holds as long as it lives.
  /// Empty: a caller's.
  [[nodiscard]] const std::string& session() const noexcept { return session_; }

 private:
  struct Close {
    bool owned = true;
    void operator()(MYSQL* connection) const noexcept {
      if (owned) mysql_close(connection);
    }
  };
  std::unique_ptr<MYSQL, Close> connection_;
  std::map<std::string, std::unique_ptr<Statement>, std::less<>> statements_;
  std::string session_{};
};

/// Runs `work`, turning what it throws into a result.
template <class Work>
auto attempt(const Work& work) -> decltype(work()) {
  try {
    return work();
  } catch (const Failure& failure) {
    return fail(failure.error());
  }
}

}  // namespace onceward::mariadb::detail
