// Guarded first calls on MariaDB: ours beside libmariadb with a connection per thread, prepared statements
// and autocommit, in one run, interleaved.
//   bench_mariadb URL [ROUNDS]        URL: mysql://user:password@127.0.0.1:3306/database
#include <onceward/storage/mariadb.hpp>

#include "bench/cycles.hpp"

#include <mysql.h>

#include <cstring>

using namespace onceward;
using namespace bench;

namespace {

/// What one would write by hand.
class Raw {
 public:
  explicit Raw(const mariadb::Options& options) : connection_(mysql_init(nullptr)) {
    const bool local = !options.socket.empty();
    if (mysql_real_connect(connection_, local ? nullptr : options.host.c_str(), options.user.c_str(),
                           options.password.c_str(), options.database.c_str(),
                           local ? 0 : static_cast<unsigned>(options.port),
                           local ? options.socket.c_str() : nullptr, 0) == nullptr) {
      end(mysql_error(connection_));
    }
    query(
        "CREATE TABLE IF NOT EXISTS raw_call(name VARBINARY(512) NOT NULL PRIMARY KEY, state TINYINT NOT NULL, "
        "owner BIGINT NOT NULL, expires BIGINT NOT NULL, value LONGBLOB NOT NULL) ENGINE=InnoDB");
    insert_ =
        prepare("INSERT IGNORE INTO raw_call(name, state, owner, expires, value) VALUES (?, 0, ?, ?, ?)");
    update_ = prepare("UPDATE raw_call SET state = 1, value = ? WHERE name = ? AND owner = ? AND state = 0");
  }
  ~Raw() {
    mysql_stmt_close(insert_);
    mysql_stmt_close(update_);
    mysql_close(connection_);
  }
  Raw(const Raw&) = delete;
  Raw& operator=(const Raw&) = delete;

  void cycle() {
    const auto key = next_key();
    MYSQL_BIND claim[4] = {text(key), number(owner_), number(expires_), text(claim_)};
    run(insert_, claim);
    MYSQL_BIND done[3] = {text(result_), text(key), number(owner_)};
    run(update_, done);
  }

 private:
  void query(const char* command) {
    if (mysql_query(connection_, command) != 0) end(mysql_error(connection_));
  }
  MYSQL_STMT* prepare(const char* command) {
    auto* statement = mysql_stmt_init(connection_);
    if (mysql_stmt_prepare(statement, command, std::strlen(command)) != 0) end(mysql_stmt_error(statement));
    return statement;
  }
  static MYSQL_BIND text(const std::string& from) {
    MYSQL_BIND bind{};
    bind.buffer_type = MYSQL_TYPE_BLOB;
    bind.buffer = const_cast<char*>(from.data());
    bind.buffer_length = static_cast<unsigned long>(from.size());
    return bind;
  }
  static MYSQL_BIND number(std::int64_t& from) {
    MYSQL_BIND bind{};
    bind.buffer_type = MYSQL_TYPE_LONGLONG;
    bind.buffer = &from;
    return bind;
  }
  static void run(MYSQL_STMT* statement, MYSQL_BIND* binds) {
    if (mysql_stmt_bind_param(statement, binds) != 0 || mysql_stmt_execute(statement) != 0) {
      end(mysql_stmt_error(statement));
    }
    if (mysql_stmt_affected_rows(statement) != 1) end("a cycle ended otherwise than it must");
  }

  MYSQL* connection_;
  MYSQL_STMT* insert_ = nullptr;
  MYSQL_STMT* update_ = nullptr;
  std::int64_t owner_ = 7;
  std::int64_t expires_ = 1'700'000'000'000'000;
  std::string claim_ = std::string(claim_value_bytes, 'c');
  std::string result_ = std::string(result_value_bytes, 'r');
};

}  // namespace

int main(int count, char** words) {
  if (count < 2) end("bench_mariadb URL [ROUNDS]");
  const int rounds = count > 2 ? std::atoi(words[2]) : 5;
  const auto options = need(mariadb::parse_url(words[1]));
  const auto storage = need(mariadb::open(options));
  const Worker theirs = [&]() -> Work {
    auto own = std::make_shared<Raw>(options);
    return [own] { own->cycle(); };
  };
  const auto ours = guarded(*storage);
  print("libmariadb",
        {{"1 thread", 0, 1, 1, ours, 1, 1, theirs},
         {"8 threads", 0, 8, 1, ours, 8, 1, theirs},
         {"32 threads", 1.2, 32, 1, ours, 32, 1, theirs},
         {"64 threads", 1.6, 64, 1, ours, 64, 1, theirs},
         {"span of 256, 1 thread", 12, 1, span, guarded_span(*storage), 1, 1, theirs}},
        rounds);
}
