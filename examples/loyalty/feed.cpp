#include "feed.hpp"

#include <onceward/core/digest.hpp>

#include <optional>
#include <thread>
#include <utility>

namespace loyalty {
namespace {

using onceward::fail;
using onceward::Result;

constexpr std::size_t batches_each = 4;  ///< for one worker: being filled, waiting, being reported

/// A thread that reports the batches of its queue until there are no more, or one is refused.
class Worker {
 public:
  explicit Worker(BatchReporter& reporter)
      : queue_(batches_each), thread_([this, &reporter] { run(reporter); }) {}
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;
  ~Worker() { join(); }

  BatchQueue& queue() noexcept { return queue_; }
  EventBatch* filling() {
    if (filling_ == nullptr) filling_ = queue_.take_empty();
    return filling_.get();
  }
  void send() { queue_.give_full(std::move(filling_)); }
  void finish() {
    if (filling_ != nullptr && filling_->size() != 0) send();
    queue_.finish();
  }
  void join() {
    if (!thread_.joinable()) return;
    queue_.finish();
    thread_.join();
  }
  [[nodiscard]] const Tally& tally() const noexcept { return tally_; }
  [[nodiscard]] const std::optional<onceward::Error>& error() const noexcept { return error_; }

 private:
  void run(BatchReporter& reporter) {
    while (auto batch = queue_.take_full()) {
      if (auto reported = reporter.report(*batch, tally_); !reported) {
        error_ = std::move(reported).error();
        queue_.give_up();
        return;
      }
      queue_.give_empty(std::move(batch));
    }
  }

  BatchQueue queue_;
  std::unique_ptr<EventBatch> filling_;
  Tally tally_;
  std::optional<onceward::Error> error_;
  std::thread thread_;
};

/// Reads every row and hands it to `take(row)`, which answers whether to go on.
template <class Take>
Result<void> each_row(const Orders& orders, Progress& progress, const Take& take) {
  auto reader = orders.reader();
  if (!reader) return fail(std::move(reader).error());
  constexpr std::uint64_t show_every = 256;
  CsvRow row;
  for (std::uint64_t count = 0;; ++count) {
    const auto more = reader->next(row);
    if (!more) return fail(more.error());
    if (!*more) return {};
    const Result<bool> go_on = take(row);
    if (!go_on) return fail(go_on.error());
    if (!*go_on) return {};
    if (count % show_every == 0)
      progress.show("reporting", reader->bytes_read(), orders.file().size(), count);
  }
}

Result<Tally> feed_alone(const Orders& orders, const RowMapper& mapper, BatchReporter& reporter,
                         const FeedOptions& options, Progress& progress) {
  EventBatch batch;
  Tally tally;
  auto fed = each_row(orders, progress, [&](const CsvRow& row) -> Result<bool> {
    mapper.fill(row, batch.add(row.line));
    if (batch.size() < options.batch) return true;
    if (auto reported = reporter.report(batch, tally); !reported) return fail(std::move(reported).error());
    batch.clear();
    return true;
  });
  if (fed && batch.size() != 0) fed = reporter.report(batch, tally);
  if (!fed) return fail(std::move(fed).error());
  return tally;
}

Result<Tally> feed_workers(const Orders& orders, const RowMapper& mapper, BatchReporter& reporter,
                           const FeedOptions& options, Progress& progress) {
  std::vector<std::unique_ptr<Worker>> workers;
  for (unsigned i = 0; i < options.threads; ++i) workers.push_back(std::make_unique<Worker>(reporter));
  auto fed = each_row(orders, progress, [&](const CsvRow& row) -> Result<bool> {
    auto& worker = *workers[onceward::stable_hash(mapper.user_of(row)) % workers.size()];
    auto* batch = worker.filling();
    if (batch == nullptr) return false;
    mapper.fill(row, batch->add(row.line));
    if (batch->size() == options.batch) worker.send();
    return true;
  });
  for (auto& worker : workers) worker->finish();
  for (auto& worker : workers) worker->join();
  Tally tally;
  for (const auto& worker : workers) {
    if (worker->error()) return fail(*worker->error());
    tally += worker->tally();
  }
  if (!fed) return fail(std::move(fed).error());
  return tally;
}

}  // namespace

Result<Tally> feed(const Orders& orders, const RowMapper& mapper, BatchReporter& reporter,
                   const FeedOptions& options, Progress& progress) {
  if (options.threads == 1) return feed_alone(orders, mapper, reporter, options, progress);
  return feed_workers(orders, mapper, reporter, options, progress);
}

}  // namespace loyalty
