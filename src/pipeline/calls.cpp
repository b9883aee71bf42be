// Calls of steps: together where they are of one step, within their time and their limits.
#include "pipeline/driver.hpp"

#include <algorithm>

namespace onceward::pipeline_detail {
namespace {

/// What took effect is recorded after so long, whatever else is to be called.
constexpr Duration longest_round = std::chrono::milliseconds(50);

template <class Work, class Otherwise>
void guarded(const Work& work, const Otherwise& otherwise) {
  try {
    work();
  } catch (const std::exception& exception) {
    otherwise(Unknown{exception.what()});
  } catch (...) {
    otherwise(Unknown{"an exception that is no std::exception"});
  }
}

/// The stop tokens of calls whose time is bounded, or that a stop of the runner must reach.
class Ends {
 public:
  Ends(Keeper& keeper, const std::stop_token& stop) : keeper_(keeper), stop_(stop) {
    group_.give_up = Keeper::Clock::time_point::min();
  }
  ~Ends() {
    if (begun_) keeper_.leave(group_);
  }
  Ends(const Ends&) = delete;
  Ends& operator=(const Ends&) = delete;

  std::stop_token token(const std::optional<Duration>& left) {
    if (!left) return stop_;
    const std::stop_source source;
    group_.timeouts.emplace_back(Keeper::Clock::now() + *left, source);
    links_.push_back(std::make_unique<Link>(stop_, Relay{source}));
    return source.get_token();
  }
  void begin() {
    begun_ = !group_.timeouts.empty();
    if (!begun_) return;
    group_.renewed = Keeper::Clock::now();
    keeper_.enter(group_);
  }

 private:
  struct Relay {
    std::stop_source source;
    void operator()() { source.request_stop(); }
  };
  using Link = std::stop_callback<Relay>;
  Keeper& keeper_;
  const std::stop_token& stop_;
  Keeper::Group group_{};
  std::vector<std::unique_ptr<Link>> links_{};
  bool begun_ = false;
};

}  // namespace

std::size_t Driver::front_of(std::span<Ready>& calls) {
  while (!calls.empty() && calls.front().held->lost) calls = calls.subspan(1);
  if (calls.empty()) return 0;
  const auto& first = *calls.front().call;
  const auto other = std::find_if(calls.begin(), calls.end(), [&](const Ready& c) {
    return c.held->lost || c.call->node->entry != first.node->entry || c.call->kind != first.kind;
  });
  return std::min(static_cast<std::size_t>(other - calls.begin()), pace_.size(first.node->entry));
}

Keeper::Clock::time_point Driver::call(Leased& kept, std::span<Ready> calls, Keeper::Clock::time_point begun,
                                       const std::stop_token& stop) {
  auto before = begun;
  bool made = false;
  while (!stop.stop_requested() && before - begun < longest_round) {
    const StepRegistry::Entry* entry = nullptr;
    auto same = kept.locked([&] {
      const auto count = front_of(calls);
      if (count > 0) entry = calls.front().call->node->entry;
      return count;
    });
    // What was called is recorded before a step that takes long, or may.
    if (same == 0 || (made && pace_.may_be_slow(entry))) break;
    const auto gate = gates_.find(entry->spec.name);
    const auto places = gate == gates_.end() ? same : gate->second.take(same, stop);
    if (gate != gates_.end())
      before = Keeper::Clock::now();  // the wait for a place is none of the step's time
    same = kept.locked([&] {
      // While it waited for its limit, runs may have been let go.
      const auto some = calls.first(places);
      const auto gone =
          std::stable_partition(some.begin(), some.end(), [](const Ready& item) { return !item.held->lost; });
      const auto count = static_cast<std::size_t>(gone - some.begin());
      for (auto& item : some.first(count)) item.held->calling = true;
      return count;
    });
    if (same > 0) call_some(calls.first(same), stop);
    if (gate != gates_.end()) gate->second.give_back(places);
    calls = calls.subspan(places);
    const auto now = Keeper::Clock::now();
    if (same > 0) pace_.took(entry, same, std::chrono::duration_cast<Duration>(now - before));
    made = made || same > 0;
    before = now;
  }
  return before;
}

void Driver::call_some(std::span<Ready> calls, const std::stop_token& stop,
                       const StepConnection& connection) {
  Ends ends(timer_, stop);
  std::vector<StepContext> contexts;
  contexts.reserve(calls.size());
  const auto kind = calls.front().call->kind;
  for (auto& item : calls) {
    item.made = true;
    StepContext context(item.held->run.pipeline, item.held->key, item.call->path, item.token,
                        item.call->arguments, item.call->place->attempt, ends.token(item.left));
    contexts.push_back(
        std::move(context)
            .with(item.left, item.done_token, kind == Call::Kind::undo ? &item.call->place->value : nullptr)
            .with(connection));
  }
  ends.begin();
  auto& step = *calls.front().call->node->entry->step;
  if (kind == Call::Kind::act && calls.size() > 1) {
    std::vector<StepOutcome> outcomes(calls.size(), Unknown{});
    guarded([&] { step.run_many(contexts, outcomes); },
            [&](const Unknown& unknown) { std::fill(outcomes.begin(), outcomes.end(), unknown); });
    for (std::size_t i = 0; i < calls.size(); ++i) calls[i].outcome = std::move(outcomes[i]);
    return;
  }
  for (std::size_t i = 0; i < calls.size(); ++i) {
    auto& item = calls[i];
    guarded(
        [&] {
          if (kind == Call::Kind::verify)
            item.found = step.verify(contexts[i]);
          else if (kind == Call::Kind::undo)
            item.outcome = step.undo(contexts[i]);
          else
            step.run_many({&contexts[i], 1}, {&item.outcome, 1});
        },
        [&](const Unknown& unknown) {
          if (kind == Call::Kind::verify)
            item.found = unknown;
          else
            item.outcome = unknown;
        });
  }
}

}  // namespace onceward::pipeline_detail
