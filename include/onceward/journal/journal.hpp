#pragma once
#include <string_view>

namespace onceward {

/// One move of something durable, or one act of an operator. The texts are valid during write() alone.
struct JournalEntry {
  std::string_view room;       ///< who writes it: "guard", "pipeline", "task"
  std::string_view partition;  ///< where it lies: the tenant, for who must not read another one's
  std::string_view subject;    ///< what moved: a guarded key, a run's key, an instance
  std::string_view trigger;    ///< what moved it: "event", "lease_passed", "resolve", ...
  std::string_view from{};     ///< the state before; empty where it was not there
  std::string_view to{};       ///< the state after; empty where it is gone
  std::string_view actor{};    ///< who asked for it; empty where nobody did
  std::string_view reason{};   ///< why, in the actor's words, or a stable code of the library's
};

/// Where moves are told. They are told after they are durable: a crash in between loses the line, never the
/// move, so the state's own record is the truth and the journal its story.
class Journal {
 public:
  virtual ~Journal() = default;
  /// Called from any thread, on the caller's way: it should hand the entry over and return. It never throws;
  /// what cannot be kept is counted by the journal itself.
  virtual void write(const JournalEntry& entry) noexcept = 0;

 protected:
  Journal() = default;
  Journal(const Journal&) = default;
  Journal& operator=(const Journal&) = default;
};

}  // namespace onceward
