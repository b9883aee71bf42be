#pragma once
#include "effects.hpp"
#include "history.hpp"

#include <onceward/idempotency/guard.hpp>
#include <onceward/storage/storage.hpp>

#include <atomic>
#include <chrono>
#include <string>

namespace torture {

/// How a run ends that acquired its key.
enum class Ending : std::uint8_t {
  complete,  ///< with a result
  fail,      ///< with a final error, which is stored as well
  release,   ///< the key is given back
  abandon,   ///< the guard is destroyed; a handler throws; a transaction is rolled back
};

/// One guarded call, decided before it is made.
struct Ask {
  Kind kind = Kind::fenced;
  std::string key;
  int payload = 0;
  onceward::Policy policy{};
  std::chrono::milliseconds work{0};        ///< before the effect
  std::chrono::milliseconds after_work{0};  ///< between the effect and the end
  int renewals = 0;                         ///< of the lease, during the work; fenced calls alone
  Ending ending = Ending::complete;
  std::size_t padding = 0;  ///< bytes by which the result is longer
};

/// Makes calls and writes down what becomes of them. One thread.
class Caller {
 public:
  Caller(onceward::Storage& storage, FencedTable& table, Rows& rows, Recorder& recorder, std::string process,
         std::atomic<int>& calls)
      : storage_(storage),
        table_(table),
        rows_(rows),
        recorder_(recorder),
        process_(std::move(process)),
        calls_(calls) {}

  /// The last line of the call.
  Line call(const Ask& ask);

 private:
  Line fenced(const Ask& ask);
  Line plain(const Ask& ask);
  Line enlisted(const Ask& ask);
  Line guarded(const Ask& ask, onceward::Storage& storage);
  void work(onceward::Guard& guard, const Ask& ask);
  [[nodiscard]] Line line(const Ask& ask, Event event) const;
  [[nodiscard]] std::string result_of(const Ask& ask) const;
  void finishing(const Ask& ask, const char* word, const std::string& result);

  onceward::Storage& storage_;
  FencedTable& table_;
  Rows& rows_;
  Recorder& recorder_;
  std::string process_;
  std::atomic<int>& calls_;
  int call_ = 0;
};

/// The limit within which a call has to end: what its policy and its work allow, and this for storages that
/// are restarted and locks of processes that are stopped. A claim makes at most four writes that time out, a
/// completion one beyond its record_limit; a storage's timeout is 5 s here.
inline constexpr std::chrono::milliseconds call_margin{30'000};

}  // namespace torture
