#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

/// What the processes of the torture test write down about their guarded calls.
namespace torture {

/// How a call's effect is guarded.
enum class Kind : std::uint8_t {
  fenced,    ///< Guard by hand; the effect is a row that keeps the largest fence
  plain,     ///< idempotent(); the effect is the run itself
  enlisted,  ///< idempotent() in the caller's transaction; the effect is a row of that transaction
};

enum class Event : std::uint8_t {
  begin,      ///< a call begins
  acquired,   ///< it has the right to run
  effect,     ///< its effect was accepted
  refused,    ///< its effect met a larger fence
  renewed,    ///< its lease was renewed; `at` is the moment before that was asked
  finishing,  ///< it is about to complete ("complete", "fail") or to give the key back (another word)
  end,        ///< it ended; `word` is the verdict
};

/// One event. A line of text with all fields, parted by blanks, in this order.
struct Line {
  std::int64_t at = 0;    ///< CLOCK_MONOTONIC in nanoseconds: one clock for all processes
  std::string process{};  ///< "3.2": the second life of the fourth worker
  int call = 0;           ///< counted within the process
  Event event = Event::begin;
  Kind kind = Kind::fenced;
  std::string key{};
  int payload = 0;           ///< which of the payloads that callers send for this key
  std::int64_t fence = 0;    ///< 0: not known
  int attempt = 0;           ///< 0: not known
  std::string word = "-";    ///< of finishing and end
  std::string result = "-";  ///< hash of the result
  bool recorded = false;     ///< of end: the outcome is stored
  std::int64_t lease_ms = 0;
  std::int64_t retention_ms = 0;
  std::int64_t limit_ms = 0;  ///< within which the call has to end

  friend bool operator==(const Line&, const Line&) = default;
};

[[nodiscard]] std::int64_t monotonic_ns();
/// CLOCK_REALTIME minus CLOCK_MONOTONIC: what turns a storage's time into the time of the lines.
[[nodiscard]] std::int64_t realtime_offset_ns();
/// A short name of a result, equal for equal texts alone (as far as 64 bits go).
[[nodiscard]] std::string hash_of(std::string_view result);

[[nodiscard]] std::string format(const Line& line);
/// Throws std::runtime_error for a text that is no line.
[[nodiscard]] Line parse(const std::string& text);
/// The lines of a file. A last line without its newline was cut by a kill and is left out.
[[nodiscard]] std::vector<Line> read_history(const std::string& file);

/// Appends lines to a file, each with one write(), so that a kill -9 loses the line in progress at most. Any
/// thread.
class Recorder {
 public:
  explicit Recorder(const std::string& file);
  ~Recorder();
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;

  /// Stamps the line with the present moment, unless it has one. Ends the process where it cannot be written.
  void write(Line line);

 private:
  int file_;
};

}  // namespace torture
