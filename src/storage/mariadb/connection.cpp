#include "storage/mariadb/connection.hpp"

#include <onceward/core/ids.hpp>

#include <errmsg.h>
#include <fmt/format.h>
#include <mysqld_error.h>
#include <poll.h>

#include <algorithm>
#include <array>
#include <cstring>

namespace onceward::mariadb::detail {
namespace {

struct Meaning {
  unsigned number;
  ErrorCode code;
  std::string_view advice;
};

constexpr std::array<Meaning, 22> meanings{{
    {ER_LOCK_DEADLOCK, ErrorCode::timeout, "try again"},
    {ER_LOCK_WAIT_TIMEOUT, ErrorCode::timeout, "another transaction holds the rows; try again"},
    {ER_UNKNOWN_COM_ERROR, ErrorCode::unavailable, "the cluster's node is not ready; try again"},
    {ER_ACCESS_DENIED_ERROR, ErrorCode::invalid_argument, "give the right user and password"},
    {ER_DBACCESS_DENIED_ERROR, ErrorCode::invalid_argument, "let the user use the database"},
    {ER_TABLEACCESS_DENIED_ERROR, ErrorCode::invalid_argument, "grant the user what docs/storages.md lists"},
    {ER_BAD_DB_ERROR, ErrorCode::invalid_argument, "create the database first"},
    {ER_NO_SUCH_TABLE, ErrorCode::corrupt, "the storage's tables are gone; restore a backup"},
    {ER_BAD_FIELD_ERROR, ErrorCode::corrupt, "the tables are not what this version makes"},
    {ER_DISK_FULL, ErrorCode::exhausted, "the server's disk is full; free some space"},
    {ER_RECORD_FILE_FULL, ErrorCode::exhausted, "the server's disk or table space is full; free some"},
    {ER_OUT_OF_RESOURCES, ErrorCode::exhausted, "the server is out of memory"},
    {ER_CON_COUNT_ERROR, ErrorCode::unavailable, "the server has no free connection; raise max_connections"},
    {ER_NET_PACKET_TOO_LARGE, ErrorCode::invalid_argument, "raise the server's max_allowed_packet"},
    {ER_OPTION_PREVENTS_STATEMENT, ErrorCode::unavailable, "the server is read-only"},
    {ER_SERVER_SHUTDOWN, ErrorCode::unavailable, "try again"},
    {ER_QUERY_INTERRUPTED, ErrorCode::timeout, "try again"},
    {CR_CONNECTION_ERROR, ErrorCode::unavailable, "see that the server runs and the address is right"},
    {CR_CONN_HOST_ERROR, ErrorCode::unavailable, "see that the server runs and the address is right"},
    {CR_UNKNOWN_HOST, ErrorCode::unavailable, "see that the host's name is right"},
    {CR_SERVER_GONE_ERROR, ErrorCode::unavailable, "the connection was lost"},
    {CR_SERVER_LOST, ErrorCode::unavailable, "the connection was lost"},
}};

/// The client's own numbers. Whatever it is that went wrong between, the answer did not come.
bool is_lost(unsigned number) noexcept {
  return (number >= CR_MIN_ERROR && number <= CR_MAX_ERROR) || number >= CER_MIN_ERROR;
}

[[noreturn]] void raise(unsigned number, std::string_view text, std::string_view doing) {
  const auto* meaning =
      std::find_if(meanings.begin(), meanings.end(), [&](const Meaning& m) { return m.number == number; });
  const bool known = meaning != meanings.end();
  throw Failure({known ? meaning->code : ErrorCode::unavailable,
                 fmt::format("MariaDB, {}: {} ({})", doing, text,
                             known ? meaning->advice : "see the message of the server"),
                 static_cast<std::int64_t>(number)},
                is_lost(number));
}

/// The first word tells what a statement does; its whole text is of no use to who reads the message.
std::string_view doing_of(std::string_view text) noexcept { return text.substr(0, text.find(' ')); }

unsigned seconds_of(Duration duration) noexcept {
  return static_cast<unsigned>(
      std::max<std::int64_t>(1, std::chrono::ceil<std::chrono::seconds>(duration).count()));
}

}  // namespace

bool Failure::undone() const noexcept {
  return error_.native_code == ER_LOCK_DEADLOCK || error_.native_code == ER_LOCK_WAIT_TIMEOUT ||
         error_.native_code == ER_UNKNOWN_COM_ERROR;
}

bool Failure::unsettled() const noexcept {
  switch (error_.native_code) {
    case ER_ERROR_DURING_COMMIT:
    case ER_QUERY_INTERRUPTED:
    case ER_CONNECTION_KILLED:
    case ER_SERVER_SHUTDOWN: return true;
    default: return lost_;
  }
}

bool Failure::duplicate() const noexcept { return error_.native_code == ER_DUP_ENTRY; }

void Parameter::bind(MYSQL_BIND& bind) const noexcept {
  bind = {};
  if (is_null_) {
    bind.buffer_type = MYSQL_TYPE_NULL;
  } else if (is_text_) {
    bind.buffer_type = MYSQL_TYPE_BLOB;
    bind.buffer =
        const_cast<char*>(text_.data() == nullptr ? "" : text_.data());  // null would be sent as NULL
    bind.buffer_length = static_cast<unsigned long>(text_.size());
  } else {
    bind.buffer_type = MYSQL_TYPE_LONGLONG;
    bind.buffer = const_cast<std::int64_t*>(&number_);
  }
}

Statement::Statement(MYSQL* connection, std::string_view text) : statement_(mysql_stmt_init(connection)) {
  if (!statement_) raise(ER_OUT_OF_RESOURCES, "no memory for a statement", doing_of(text));
  if (mysql_stmt_prepare(statement_.get(), text.data(), static_cast<unsigned long>(text.size())) != 0) {
    raise(mysql_stmt_errno(statement_.get()), mysql_stmt_error(statement_.get()), doing_of(text));
  }
  bound_.resize(mysql_stmt_param_count(statement_.get()));
  columns_.resize(mysql_stmt_field_count(statement_.get()));
  results_.resize(columns_.size());
}

void Statement::run(const std::vector<Parameter>& parameters) {
  if (parameters.size() != bound_.size())
    throw std::logic_error("a statement got another number of parameters");
  for (std::size_t i = 0; i < parameters.size(); ++i) parameters[i].bind(bound_[i]);
  auto* const statement = statement_.get();
  if ((!bound_.empty() && mysql_stmt_bind_param(statement, bound_.data()) != 0) ||
      mysql_stmt_execute(statement) != 0) {
    raise(mysql_stmt_errno(statement), mysql_stmt_error(statement), "executing");
  }
  if (columns_.empty()) return;
  bind_columns();
  if (mysql_stmt_store_result(statement) != 0) {
    raise(mysql_stmt_errno(statement), mysql_stmt_error(statement), "reading");
  }
}

void Statement::bind_columns() {
  const std::unique_ptr<MYSQL_RES, void (*)(MYSQL_RES*)> fields(mysql_stmt_result_metadata(statement_.get()),
                                                                &mysql_free_result);
  for (unsigned i = 0; i < columns_.size(); ++i) {
    const auto type = mysql_fetch_field_direct(fields.get(), i)->type;
    auto& column = columns_[i];
    auto& bind = results_[i];
    bind = {};
    column.is_number = type == MYSQL_TYPE_LONGLONG || type == MYSQL_TYPE_LONG || type == MYSQL_TYPE_TINY ||
                       type == MYSQL_TYPE_SHORT || type == MYSQL_TYPE_INT24 || type == MYSQL_TYPE_NEWDECIMAL;
    bind.is_null = &column.null;
    bind.length = &column.length;
    if (column.is_number) {
      bind.buffer_type = MYSQL_TYPE_LONGLONG;
      bind.buffer = &column.number;
    } else {
      bind.buffer_type = MYSQL_TYPE_BLOB;  // without a buffer: its length comes first, `text` fetches it
    }
  }
  if (mysql_stmt_bind_result(statement_.get(), results_.data()) != 0) {
    raise(mysql_stmt_errno(statement_.get()), mysql_stmt_error(statement_.get()), "reading");
  }
}

std::int64_t Statement::changed() const {
  return static_cast<std::int64_t>(mysql_stmt_affected_rows(statement_.get()));
}

std::int64_t Statement::last_id() const {
  return static_cast<std::int64_t>(mysql_stmt_insert_id(statement_.get()));
}

bool Statement::next() {
  const int fetched = mysql_stmt_fetch(statement_.get());
  if (fetched == MYSQL_NO_DATA) {
    mysql_stmt_free_result(statement_.get());
    return false;
  }
  if (fetched != 0 && fetched != MYSQL_DATA_TRUNCATED) {
    raise(mysql_stmt_errno(statement_.get()), mysql_stmt_error(statement_.get()), "reading");
  }
  return true;
}

std::string Statement::text(unsigned column) {
  std::string text(columns_[column].length, '\0');
  if (text.empty()) return text;
  MYSQL_BIND bind{};
  unsigned long length = 0;
  bind.buffer_type = MYSQL_TYPE_BLOB;
  bind.buffer = text.data();
  bind.buffer_length = static_cast<unsigned long>(text.size());
  bind.length = &length;
  if (mysql_stmt_fetch_column(statement_.get(), &bind, column, 0) != 0) {
    raise(mysql_stmt_errno(statement_.get()), mysql_stmt_error(statement_.get()), "reading");
  }
  return text;
}

Connection::Connection(const Options& options) : connection_(mysql_init(nullptr), Close{true}) {
  auto* const connection = connection_.get();
  if (connection == nullptr) raise(ER_OUT_OF_RESOURCES, "no memory for a connection", "connecting");
  const unsigned connect_seconds = seconds_of(options.connect_timeout);
  const unsigned seconds = seconds_of(options.timeout);
  mysql_options(connection, MYSQL_OPT_CONNECT_TIMEOUT, &connect_seconds);
  mysql_options(connection, MYSQL_OPT_READ_TIMEOUT, &seconds);
  mysql_options(connection, MYSQL_OPT_WRITE_TIMEOUT, &seconds);
  mysql_options(connection, MYSQL_SET_CHARSET_NAME, "utf8mb4");
  const bool local = !options.socket.empty();
  if (mysql_real_connect(connection, local ? nullptr : options.host.c_str(), options.user.c_str(),
                         options.password.c_str(), options.database.c_str(),
                         local ? 0 : static_cast<unsigned>(options.port),
                         local ? options.socket.c_str() : nullptr, 0) == nullptr) {
    raise(mysql_errno(connection), mysql_error(connection), "connecting");
  }
  // The lock wait is shorter than the read timeout: a wait for a lock is told as that, not as a lost
  // connection.
  command("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED");
  command(fmt::format("SET SESSION time_zone = '+00:00', innodb_lock_wait_timeout = {}, "
                      "sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'",
                      std::max(1U, seconds - 1))
              .c_str());
  session_ = "onceward-" + new_owner_id();
  auto& named = prepare("SELECT GET_LOCK(?, 0)");
  named.run({std::string_view(session_)});
  while (named.next()) continue;
  // What another node was answered is read here too.
  if (is_galera()) command("SET SESSION wsrep_sync_wait = 1");
}

bool Connection::is_galera() {
  command("SHOW VARIABLES LIKE 'wsrep_on'");  // no row where there is no such variable
  const std::unique_ptr<MYSQL_RES, void (*)(MYSQL_RES*)> rows(mysql_store_result(connection_.get()),
                                                              &mysql_free_result);
  const auto* const row = rows ? mysql_fetch_row(rows.get()) : nullptr;
  return row != nullptr && std::string_view(row[1]) == "ON";
}

Statement& Connection::prepare(const std::string& text) {
  auto& statement = statements_[text];
  if (!statement) {
    try {
      statement = std::make_unique<Statement>(connection_.get(), text);
    } catch (...) {
      statements_.erase(text);
      throw;
    }
  }
  return *statement;
}

bool Connection::alive() const noexcept {
  // Between two commands a server says nothing but that it has gone.
  pollfd socket{static_cast<int>(mysql_get_socket(connection_.get())), POLLIN | POLLRDHUP, 0};
  return ::poll(&socket, 1, 0) == 0;
}

void Connection::command(const char* text) {
  if (mysql_real_query(connection_.get(), text, std::strlen(text)) != 0) {
    raise(mysql_errno(connection_.get()), mysql_error(connection_.get()), doing_of(text));
  }
}

}  // namespace onceward::mariadb::detail
