#include <onceward/storage/mariadb.hpp>

#include "storage/mariadb/schema.hpp"
#include "storage/mariadb/tables.hpp"

namespace onceward::mariadb {
namespace {

using detail::attempt;
using detail::CommitRequest;
using detail::Connection;
using detail::Locking;
using detail::SharedTime;
using detail::Tables;

class EnlistedStorage final : public Storage {
 public:
  EnlistedStorage(MYSQL* connection, Shard shards, bool galera, const Clock* clock)
      : connection_(connection),
        time_(shards, galera),
        tables_(connection_, time_, clock, true),
        shards_(shards) {}

  Result<CommitAnswer> commit(std::span<const Batch> batches) override {
    if (auto checked = check_commit(batches); !checked) return fail(std::move(checked).error());
    if ((connection_.get()->server_status & SERVER_STATUS_IN_TRANS) == 0) {
      return fail(ErrorCode::wrong_state,
                  "an enlisted storage writes in the caller's transaction and none is open; BEGIN one first");
    }
    return attempt([&]() -> Result<CommitAnswer> {
      CommitRequest request{batches};
      auto* const one = &request;
      (void)tables_.write({&one, 1}, Locking::exclusive);
      return std::move(request.answer);
    });
  }
  Result<ReadAnswer> read(std::span<const RecordRef> records) override {
    if (auto checked = check_read(records); !checked) return fail(std::move(checked).error());
    return attempt([&]() -> Result<ReadAnswer> {
      ReadAnswer answer;
      tables_.read(records, answer);
      return answer;
    });
  }
  Result<ScanPage> scan(std::string_view partition, std::string_view prefix, std::string_view cursor,
                        std::size_t limit) override {
    if (auto checked = check_scan(partition, prefix, cursor, limit); !checked) {
      return fail(std::move(checked).error());
    }
    return attempt([&]() -> Result<ScanPage> {
      ScanPage page;
      tables_.scan(partition, prefix, cursor, limit, page);
      return page;
    });
  }
  Result<DuePage> due(std::span<const Shard> shards, std::size_t limit) override {
    if (auto checked = check_due(shards, limit, shards_); !checked) return fail(std::move(checked).error());
    return attempt([&]() -> Result<DuePage> {
      DuePage page;
      tables_.due(shards, limit, page);
      return page;
    });
  }
  [[nodiscard]] Shard shard_count() const noexcept override { return shards_; }

 private:
  Connection connection_;
  SharedTime time_;
  Tables tables_;
  Shard shards_;
};

}  // namespace

Result<std::unique_ptr<Storage>> enlist(MYSQL* connection, Options options) {
  if (auto checked = detail::check_options(options); !checked) return fail(std::move(checked).error());
  return attempt([&]() -> Result<std::unique_ptr<Storage>> {
    Connection borrowed(connection);
    const auto shards = detail::read_schema(borrowed, options);
    return std::unique_ptr<Storage>(
        std::make_unique<EnlistedStorage>(connection, shards, borrowed.is_galera(), options.clock));
  });
}

}  // namespace onceward::mariadb
