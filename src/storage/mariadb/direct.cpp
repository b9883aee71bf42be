#include "storage/mariadb/rows.hpp"
#include "storage/mariadb/tables.hpp"

#include <fmt/format.h>

// One record written by one statement, which commits by itself: the way of a lone caller.
namespace onceward::mariadb::detail {
namespace {

// The time at which the statement began, the same wherever it stands in it.
constexpr std::string_view statement_us = "CAST(UNIX_TIMESTAMP(NOW(6)) * 1000000 AS SIGNED)";

/// A statement on its way: its text, with the time where it is wanted, and its parameters in their order.
class Writing {
 public:
  explicit Writing(const Clock* clock) {
    if (clock != nullptr) time_ = clock->now().time_since_epoch().count();
  }
  Writing& text(std::string_view text) { return text_.append(text), *this; }
  Writing& time() {
    text_.append(time_ ? "?" : statement_us);
    if (time_) parameters_.emplace_back(*time_);
    return *this;
  }
  Writing& value(Parameter parameter) {
    text_.push_back('?');
    parameters_.push_back(parameter);
    return *this;
  }
  /// The time and a duration later, or NULL.
  Writing& later(const std::optional<Duration>& duration) {
    if (!duration) return text("NULL");
    return time().text(" + ").value(std::int64_t{duration->count()});
  }
  Writing& minute(const std::optional<Duration>& duration) {
    if (!duration) return text("NULL");
    return text("(").later(*duration + Duration(minute_us - 1)).text(") DIV ").value(minute_us);
  }
  Statement& run(Connection& connection) const {
    auto& statement = connection.prepare(text_);
    statement.run(parameters_);
    return statement;
  }

 private:
  std::optional<std::int64_t> time_{};
  std::string text_{};
  std::vector<Parameter> parameters_{};
};

}  // namespace

// The shard's row is shared until the statement has committed: no removal can raise `high` beside it, whose
// revision would then be larger than this one.
std::optional<Revision> Tables::insert_directly(const Batch& batch) {
  const auto& operation = batch.operations.front();
  const auto& [due_in, expires_in] = operation.timing;
  Writing insert(clock_);
  insert
      .text(
          "INSERT INTO onceward_record(partition_name, record_key, shard, revision, due, expires, "
          "expires_minute, value) SELECT ")
      .value(std::string_view(batch.partition))
      .text(", ")
      .value(std::string_view(operation.key))
      .text(", shard, LAST_INSERT_ID(")
      .time()
      .text("), ")
      .later(due_in)
      .text(", ")
      .later(expires_in)
      .text(", ")
      .minute(expires_in)
      .text(", ")
      .value(std::string_view(operation.value))
      .text(" FROM onceward_shard WHERE shard = ")
      .value(static_cast<std::int64_t>(shard_of(batch.partition)))
      .text(" AND high < ")
      .time()
      .text(" AND floor_us <= ")
      .time()
      .text(" AND ")
      .time()
      .text(" >= ")
      .value(time_.last.load())
      .text(" LOCK IN SHARE MODE");
  const auto& statement = insert.run(connection_);
  return statement.changed() == 1 ? std::optional(statement.last_id()) : std::nullopt;
}

std::optional<Revision> Tables::replace_directly(const Batch& batch) {
  const auto& operation = batch.operations.front();
  const auto& [due_in, expires_in] = operation.timing;
  Writing update(clock_);
  update.text("UPDATE onceward_record SET revision = LAST_INSERT_ID(")
      .time()
      .text("), due = ")
      .later(due_in)
      .text(", expires_minute = ")
      .minute(expires_in)
      .text(", expires = ")
      .later(expires_in)
      .text(", value = ")
      .value(std::string_view(operation.value))
      .text(" WHERE partition_name = ")
      .value(std::string_view(batch.partition))
      .text(" AND record_key = ")
      .value(std::string_view(operation.key))
      .text(" AND revision = ")
      .value(std::int64_t{operation.expected})
      .text(" AND revision < ")
      .time()
      .text(" AND (expires IS NULL OR expires > ")
      .time()
      .text(") AND ")
      .time()
      .text(" >= ")
      .value(time_.last.load());
  const auto& statement = update.run(connection_);
  return statement.changed() == 1 ? std::optional(statement.last_id()) : std::nullopt;
}

std::optional<CommitAnswer> Tables::write_directly(const Batch& batch) {
  const auto& operation = batch.operations.front();
  const bool inserts = operation.kind == Operation::Kind::insert;
  std::optional<Revision> revision;
  bool duplicate = false;
  try {
    revision = inserts ? insert_directly(batch) : replace_directly(batch);
  } catch (const Failure& failure) {
    if (!failure.duplicate()) throw;
    duplicate = true;
  }
  if (revision) {
    const auto now = Timestamp(Duration(*revision));
    time_.raise(now);
    return CommitAnswer{now, {{.revision = *revision}}};
  }
  if (inserts && !duplicate) return std::nullopt;
  // It is refused for what is read now, if for anything: that this is later than the try does not matter.
  const RecordRef ref{batch.partition, operation.key};
  ReadAnswer read_back;
  read({&ref, 1}, read_back);
  auto& found = read_back.records.front();
  const bool holds = inserts ? !found : found && found->revision == operation.expected;
  if (holds) return std::nullopt;
  return CommitAnswer{read_back.now, {{.refused = 0, .found = std::move(found)}}};
}

}  // namespace onceward::mariadb::detail
