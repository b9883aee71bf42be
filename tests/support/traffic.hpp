#pragma once
#include <onceward/storage/storage.hpp>

#include "support/catch.hpp"

#include <atomic>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

/// Writers that note what they were answered: each inserts keys of its own and adds to one counter.
/// Afterwards the notes are held against the storage: nothing that was answered is lost, nothing that was
/// refused or failed harmlessly is there, nothing is there twice.
class Traffic {
 public:
  Traffic(onceward::Storage& storage, unsigned threads) : storage_(storage) {
    for (unsigned i = 0; i < threads; ++i) {
      writers_.emplace_back([this, i](const std::stop_token& stop) { write(i, stop); });
    }
  }
  ~Traffic() { end(); }
  Traffic(const Traffic&) = delete;
  Traffic& operator=(const Traffic&) = delete;

  void end() {
    for (auto& writer : writers_) writer.request_stop();
    writers_.clear();
  }
  [[nodiscard]] int answered() const noexcept { return answered_; }
  [[nodiscard]] int failed() const noexcept { return failed_; }
  void wait_for(int answers) const {
    const auto wanted = answered_ + answers;
    while (answered_ < wanted) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }

  /// After the end, with the storage in reach again.
  void check() { check(storage_); }
  /// The same by another storage over the same data.
  void check(onceward::Storage& storage) {
    const std::lock_guard lock(mutex_);
    std::set<std::string> stored;
    for (unsigned i = 0; i < partitions; ++i) {
      std::string cursor;
      do {
        const auto page = storage.scan(partition(i), "key/", cursor, onceward::limits::page_records);
        REQUIRE(page.has_value());
        for (const auto& record : page->records) stored.insert(record.key);
        cursor = page->cursor;
      } while (!cursor.empty());
    }
    std::size_t lost = 0;
    for (const auto& key : written_) lost += stored.count(key) == 0 ? 1U : 0U;
    CHECK(lost == 0);
    std::size_t uninvited = 0;
    for (const auto& key : harmless_) uninvited += stored.count(key);
    CHECK(uninvited == 0);
    CHECK(stored.size() <= written_.size() + in_doubt_);
    for (const auto& message : strange_) FAIL_CHECK(message);
    std::int64_t sum = 0;
    for (unsigned i = 0; i < partitions; ++i) {
      const auto counter = onceward::read_one(storage, partition(i), "count");
      REQUIRE(counter.has_value());
      if (*counter) sum += std::stoll((*counter)->value);
    }
    // A batch adds one with its key, or neither is there.
    CHECK(static_cast<std::size_t>(sum) == stored.size());
  }

 private:
  static constexpr unsigned partitions = 8;
  static std::string partition(unsigned number) { return "traffic/" + std::to_string(number % partitions); }

  void write(unsigned number, const std::stop_token& stop) {
    using namespace onceward;
    for (int i = 0; !stop.stop_requested(); ++i) {
      const auto key = "key/" + std::to_string(number) + "/" + std::to_string(i);
      const auto answer = commit_one(
          storage_, {partition(number), {Operation::insert(key, "1"), Operation::add("count", 1)}});
      const std::lock_guard lock(mutex_);
      if (answer) {
        ++answered_;
        if (answer->applied()) {
          written_.insert(key);
        } else {
          strange_.push_back("the batch of a new key was refused: " + key);
        }
        continue;
      }
      ++failed_;
      switch (answer.error().code) {
        case ErrorCode::in_doubt: ++in_doubt_; break;
        case ErrorCode::exhausted:  // refused for want of room: nothing happened
        case ErrorCode::unavailable:
        case ErrorCode::timeout: harmless_.insert(key); break;
        default: strange_.push_back(describe(answer.error()));
      }
    }
  }

  onceward::Storage& storage_;
  std::mutex mutex_;
  std::set<std::string> written_, harmless_;
  std::vector<std::string> strange_;
  std::size_t in_doubt_ = 0;
  std::atomic<int> answered_ = 0;
  std::atomic<int> failed_ = 0;
  std::vector<std::jthread> writers_;
};
