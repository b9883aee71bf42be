#pragma once
#include <onceward/core/clock.hpp>
#include <onceward/expr/value.hpp>
#include <onceward/pipeline/diagnostic.hpp>

#include <string>
#include <utility>
#include <vector>

// A pipeline as written, in code or XML. builder.hpp makes one, plan.hpp checks and compiles it.
namespace onceward {

/// How often and how late a step is tried again. The delay before attempt n+1 is
/// min(cap, first * factor^(n-1)), drawn evenly from [0, delay] where `jitter` is set.
struct RetryPolicy {
  int attempts = 20;                                ///< 1..1000, the first one included
  Duration first = std::chrono::milliseconds(200);  ///< > 0
  double factor = 2.0;                              ///< 1..10
  Duration cap = std::chrono::minutes(5);
  bool jitter = true;

  friend bool operator==(const RetryPolicy&, const RetryPolicy&) = default;
};

/// The policy for answers of one code: Retry::code, or "unknown" for Unknown and exceptions. Its attempts and
/// delays count these answers alone, those of the step's own policy all others and the workers that died. A
/// Reject is never tried again.
struct RetryRule {
  std::string code;
  RetryPolicy policy{};

  friend bool operator==(const RetryRule&, const RetryRule&) = default;
};

/// How a step is undone, where the pipeline recovers backward.
struct UndoPolicy {
  bool skip = false;  ///< it is left as it is: the step needs no undo of its own
  RetryPolicy retry{};

  friend bool operator==(const UndoPolicy&, const UndoPolicy&) = default;
};

/// One input of a pipeline.
struct PipelineInput {
  std::string name;
  Value::Kind kind = Value::Kind::string;
  bool required = true;

  friend bool operator==(const PipelineInput&, const PipelineInput&) = default;
};

/// What a construct of a pipeline is; the word of each is its XML element.
enum class StepKind : std::uint8_t {
  step,      ///< one effect, by a Step of the registry
  sequence,  ///< its body in order: a branch of several steps
  parallel,  ///< every construct of its body is a branch
  choose,    ///< the first branch whose test holds; which one is recorded
  foreach,   ///< its body for each item of a list
  attempt,   ///< <try>: its body, then the branch (<catch>) of its error, then `last` (<finally>)
  call,      ///< another pipeline, pinned with this one
  wait,      ///< a durable timer; no thread waits
  await,     ///< a signal
  set,       ///< a value under a name
  result,    ///< the result of the run
  fail,      ///< ends in an error
};

enum class Join : std::uint8_t { all, any, quorum };
/// What a failed branch or item does to the others.
enum class OnFail : std::uint8_t { cancel, wait };

struct BranchDefinition;

/// One construct of a pipeline, as written. Members that its kind does not name keep their defaults.
struct StepDefinition {
  std::string id;      ///< unique in the pipeline: [a-z0-9_-]{1,64}; part of the tokens. set: the name
  std::string uses{};  ///< step: a name in the registry, "grant-points@1". call: a pipeline's id
  std::vector<std::pair<std::string, std::string>> arguments{};  ///< step, call: names with expressions
  std::string when{};   ///< an expression; skipped where it is false. Empty: always
  RetryPolicy retry{};  ///< step
  SourcePlace place{};

  StepKind kind = StepKind::step;
  std::vector<RetryRule> rules{};      ///< step: of answers with a code; at most 16
  UndoPolicy undo{};                   ///< step
  Duration timeout{};                  ///< step: of one attempt; 0: none
  Duration total{};                    ///< step: of all attempts. wait: how long. await: at most; 0: none
  Join join = Join::all;               ///< parallel
  int quorum = 0;                      ///< parallel, Join::quorum: 1..branches
  OnFail on_fail = OnFail::cancel;     ///< parallel, foreach
  std::string items{};                 ///< foreach: an expression that gives a list
  std::string variable{};              ///< foreach: the item's name in its body
  std::string item_key{};              ///< foreach: an expression; names the item in paths and tokens
  int max = 1000;                      ///< foreach: most items, 1..10000
  int concurrency = 1;                 ///< foreach: items begun and not finished, 1..1000
  std::string version{};               ///< call: of the pipeline; empty: "1"
  std::string value{};                 ///< set, result: an expression. fail: its message's. wait: until
  std::string code{};                  ///< fail: the error's. await: the signal's name
  std::vector<StepDefinition> body{};  ///< sequence, parallel, foreach, attempt
  std::vector<BranchDefinition> branches{};  ///< choose: whens; attempt: catches
  std::vector<StepDefinition> last{};        ///< attempt: finally

  friend bool operator==(const StepDefinition&, const StepDefinition&);
};

/// A branch of a choose, or a catch.
struct BranchDefinition {
  std::string test{};  ///< when: an expression; empty: otherwise. catch: an error's code; empty: any
  std::vector<StepDefinition> body{};
  SourcePlace place{};

  friend bool operator==(const BranchDefinition&, const BranchDefinition&) = default;
};

/// Where a run goes whose step rejects.
enum class Recover : std::uint8_t {
  forward,   ///< nothing is taken back
  backward,  ///< what is done is undone, last first
};

/// A pipeline as written, in code or XML.
struct PipelineDefinition {
  std::string id;
  std::string version = "1";
  std::vector<PipelineInput> inputs{};
  std::vector<StepDefinition> steps{};
  SourcePlace place{};
  std::string key{};  ///< a key template on the inputs, for starts that give no key
  Recover recover = Recover::forward;
  Duration deadline{};      ///< of a run, from its start; 0: none
  std::string serial_by{};  ///< an expression on the inputs: of runs with one value, one at a time
  int priority = 0;         ///< 0..9; due runs of a higher one are taken first

  friend bool operator==(const PipelineDefinition&, const PipelineDefinition&) = default;
};

}  // namespace onceward
