#pragma once
#include "pipeline/names.hpp"

#include <functional>
#include <utility>

namespace onceward::pipeline_detail {

enum class End : std::uint8_t { running, done, failed };

[[nodiscard]] Value error_of(std::string_view code, std::string message, std::string_view step);
[[nodiscard]] std::string text_of(const Value& error, std::string_view name);
/// "code: message", as reasons begin.
[[nodiscard]] std::string sentence(const Value& error);
/// The error of what failed. An item keeps its item and a callee its input: theirs lies in what failed
/// within.
[[nodiscard]] const Value& error_in(const Place& place) noexcept;
/// Stops what has not ended; a call that was made and whose end is not known stays in doubt.
void cancel(Place& place) noexcept;
/// Whether this very step may have taken effect, and nobody knows.
[[nodiscard]] bool is_in_doubt(const Place& place) noexcept;

/// One walk of the plan beside a run: begins what can begin, and says what to wait for.
class Walk {
 public:
  Walk(Run& run, const CompiledPlan& plan, Timestamp now, std::size_t room, std::vector<Call>& calls)
      : run_(run),
        plan_(plan),
        now_(now),
        room_(room),
        calls_(calls),
        level_{&run.input, &plan.root, &run.root} {}

  Move go();
  /// Goes through the steps that have begun, last first, until `work` gives true. In `work` names are those
  /// of the step.
  using EachStep = std::function<bool(const Node& node, Place& place, const std::string& path)>;
  bool backward(const EachStep& work) { return backward(plan_.root, run_.root, work); }
  Result<Value> arguments_of(const Node& node);

 private:
  Move succeed();
  Move finish(RunState state, std::string reason);
  Move pending();
  /// It is to be looked at again then.
  void note(const Instant& due);
  /// The root has failed. Empty where what is done is to be undone.
  std::optional<Move> failed();
  std::optional<Move> take_cancel();
  End fail(Place& place, std::string_view code, std::string message);
  /// A definition that does not fit its data: nothing can be caught or retried.
  End stuck(std::string reason) {
    if (!attention_) attention_ = std::move(reason);
    return End::running;
  }
  End stuck(const Node& node, std::string_view what, const Error& error);
  End done(Place& place, Value value = {}) {
    place.status = Status::done;
    place.value = std::move(value);
    return End::done;
  }
  Result<Value> evaluate(const Node& node, const Expression& expression);
  static Place& child(Place& place, std::string_view id, Role role) {
    auto& added = place.children.emplace_back();
    added.id = id;
    added.role = role;
    return added;
  }
  End visit(const Node& node, Place& place);
  /// One that an operator took back knows how its token was used before.
  void remember(Place& place, const std::string& path);
  End visit_step(const Node& node, Place& place);
  End visit_sequence(const Node& node, Place& place);
  /// What several that run beside each other have come to.
  struct Tally {
    std::size_t done = 0, failed = 0, running = 0;
  };
  End fail_with_branches(Place& place);
  End visit_parallel(const Node& node, Place& place);
  End visit_choose(const Node& node, Place& place);
  /// The one branch that a construct goes with.
  End visit_inside(const Node& node, Place& place, Place& inside);
  /// The keys of its items, in order; empty where it fails or is stuck.
  std::optional<std::vector<std::string>> item_keys(const Node& node, Place& place, const List& items);
  End begin_foreach(const Node& node, Place& place);
  End visit_foreach(const Node& node, Place& place);
  End visit_attempt(const Node& node, Place& place);
  /// Ends what is open but for its finally, the inner first; false where no finally is left to go on.
  bool close(const Node& node, Place& place);
  End visit_call(const Node& node, Place& place);
  /// Runs `work(node, place)` for the `at`th of the places within a construct, with the path and the names of
  /// there.
  template <class Work>
  void go_into(const Node& node, Place& place, std::size_t at, const Work& work) {
    auto& inside = place.children[at];
    const auto& below = node.children[node_of(inside, at)];
    const auto before = path_.size();
    const auto level = level_;
    if (inside.role == Role::callee) {
      path_.append(node.id()).append("/");
      level_ = Level{&inside.value, &below, &inside};
      auto within = std::exchange(within_, {});
      work(below, inside);
      within_ = std::move(within);
    } else if (inside.role == Role::item) {
      path_ += item_part(node.id(), inside.id);
      within_.push_back(&inside);
      // Names are seen through constructs that are open.
      const auto status = std::exchange(place.status, Status::open);
      work(below, inside);
      place.status = status;
      within_.pop_back();
    } else {
      // What the body of an attempt failed with stays in the body's place, whatever comes after it.
      if (inside.role == Role::branch && node.kind == StepKind::attempt && at > 0)
        level_.error = &error_in(place.children.front());
      work(below, inside);
    }
    level_ = level;
    path_.resize(before);
  }
  /// Asks on for every step in doubt, and begins nothing else; false where there is none.
  bool settle(const Node& node, Place& place);
  End visit_wait(const Node& node, Place& place);
  End visit_await(const Node& node, Place& place);
  End visit_value(const Node& node, Place& place);
  bool backward(const Node& node, Place& place, const EachStep& work);
  /// Goes to the last effect that is not taken back yet; false where there is none.
  bool undo();
  bool undo_step(const Node& node, Place& place, std::string path, const Value* arguments);
  /// Why a run that is undone needs attention all the same; empty where nothing is left.
  std::optional<std::string> left_behind();
  /// The rows of a tx step that was done before an operator took it back are there: it is not called again.
  bool rows_are_there(Place& place, const std::string& path);

  Run& run_;
  const CompiledPlan& plan_;
  Timestamp now_;
  std::size_t room_;
  std::vector<Call>& calls_;
  Level level_;
  std::vector<const Place*> within_{};
  std::string path_{};
  std::optional<Duration> earliest_{};
  bool blind_ = false;
  std::optional<std::string> attention_{};
  /// Paths of effects that cannot be undone, and of those that may be such.
  std::vector<std::string> left_done_{}, left_in_doubt_{};
};

}  // namespace onceward::pipeline_detail
