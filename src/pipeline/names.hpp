#pragma once
#include "pipeline/run_state.hpp"

namespace onceward::pipeline_detail {

/// The pipeline an expression stands in: the run's own, or one that it calls.
struct Level {
  const Value* input = nullptr;
  const Node* node = nullptr;
  const Place* place = nullptr;
  const Value* error = nullptr;  ///< of the innermost catch that the construct is within; null: none
};

/// What the expressions of one construct may read: the inputs, and of its level the results of what is
/// finished, values that were set, the items it is within, and the error that is being caught. What has not
/// come about is null. The run must outlive it.
class Names {
 public:
  /// `within` are the items of foreach around the construct, the outer first.
  Names(const Level& level, std::span<const Place* const> within, bool reads_steps);
  Names(const Names&) = delete;
  Names& operator=(const Names&) = delete;
  operator std::span<const Binding>() const noexcept { return bindings_; }
  /// One name more, for this evaluation.
  void bind(std::string_view name, const Value& value);

 private:
  void gather(const Node& node, const Place* place, std::span<const Place* const> within);

  static const Value null_;
  Map steps_{};
  std::vector<Binding> bindings_{};
};

}  // namespace onceward::pipeline_detail
