#pragma once
#include <onceward/core/ids.hpp>
#include <onceward/pipeline/runner.hpp>

#include "pipeline/driver.hpp"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <thread>

namespace onceward {

namespace pipeline_detail {
inline constexpr std::size_t most_span = 1024;
inline constexpr unsigned most_workers = 256;
inline constexpr int most_tries = 200;  ///< against workers and others that write the same run

/// Threads that are told to stop all at once: none of them takes up what another leaves because of the stop.
struct Crew {
  std::stop_source stop{};
  std::vector<std::jthread> threads{};

  Crew() = default;
  Crew(Crew&&) = default;
  Crew& operator=(Crew&&) = default;
  ~Crew() { stop.request_stop(); }
};
}  // namespace pipeline_detail

struct Runner::State {
  State(Storage& in, const PlanCatalog& of, RunnerOptions chosen)
      : storage(in), catalog(of), options(std::move(chosen)), driver(in, options, new_owner_id()) {
    options.span = std::clamp<std::size_t>(options.span, 1, pipeline_detail::most_span);
    options.workers = std::clamp(options.workers, 1U, pipeline_detail::most_workers);
    driver.on_let_go([this] { wake_workers(); });
  }

  Storage& storage;
  const PlanCatalog& catalog;
  RunnerOptions options;
  pipeline_detail::Driver driver;

  std::mutex mutex;
  std::condition_variable_any wake;
  std::uint64_t wakes = 0;  ///< counted, so that a worker on its way to sleep misses none
  std::function<void(const RunView&)> on_attention;
  std::function<void(const Error&)> on_error;
  std::vector<std::weak_ptr<RunObserver>> observers;
  std::mutex stopping;  ///< held by who stops the crew, until it is gone
  pipeline_detail::Crew crew;

  /// Tells of runs that have ended, once their ends are recorded.
  void tell(std::span<pipeline_detail::Held* const> runs);
  void tell(const pipeline_detail::Held& held);
  void tell_observers(std::span<const RunMove> moves);
  /// Calls what a user gave; what it throws is told to the journal, and concerns nobody else.
  template <class Argument>
  void call_back(std::function<void(const Argument&)> State::*callback, const Argument& argument,
                 std::string_view subject);
  void wake_workers();
  Result<void> drive(std::vector<pipeline_detail::Held*> runs, const std::stop_token& stop);
  /// Runs that are taken over and driven side by side. One whose workers died more than once goes alone: if
  /// it is what kills them, it takes no neighbour along.
  [[nodiscard]] std::vector<std::vector<pipeline_detail::Held*>> groups_of(
      const std::vector<std::unique_ptr<pipeline_detail::Held>>& taken) const;
  /// Adds a request to a run, at this time of the storage; false where there is nothing to write.
  using Change = std::function<Result<bool>(pipeline_detail::Run& run, Timestamp now)>;
  /// Changes what is asked of a stored run, whoever holds it.
  Result<void> ask(const RunName& name, const Change& change);
  void work_until(const std::stop_token& stop);
  Result<WorkReport> work(std::size_t limit, const std::stop_token& stop);
  /// Makes a due record a run in hand; false where it is none of ours to take.
  bool take(const std::string& partition, Record& record, Timestamp now, WorkReport& report,
            std::vector<std::unique_ptr<pipeline_detail::Held>>& taken);
  struct PutOff {
    const std::string* partition;
    const Record* record;
  };
  /// A page full of due runs that cannot be taken hides all others: the next look sees further.
  Result<void> put_off(std::span<const PutOff> records, Duration pause);

  std::mutex places_mutex;
  std::map<std::string, std::size_t, std::less<>> in_hand;  ///< runs of pipelines that have a limit

  /// The places that runs of limited pipelines take while a worker has them.
  class Places {
   public:
    Places(State& state, const std::vector<std::unique_ptr<pipeline_detail::Held>>& candidates)
        : state_(state) {
      if (state.options.limits.empty()) return;
      const std::lock_guard lock(state.places_mutex);
      for (const auto& held : candidates) {
        const auto& id = held->run.pipeline;
        const auto limit = state.options.limits.find(id);
        if (limit == state.options.limits.end()) continue;
        auto& count = state.in_hand[id];
        if (count >= std::max<std::size_t>(limit->second, 1)) {
          refused_.push_back(held.get());
        } else {
          ++count;
          taken_.push_back(id);
        }
      }
    }
    ~Places() {
      const std::lock_guard lock(state_.places_mutex);
      for (const auto& id : taken_) --state_.in_hand[id];
    }
    Places(const Places&) = delete;
    Places& operator=(const Places&) = delete;
    [[nodiscard]] bool has(const pipeline_detail::Held& held) const {
      return std::find(refused_.begin(), refused_.end(), &held) == refused_.end();
    }

   private:
    State& state_;
    std::vector<const pipeline_detail::Held*> refused_{};
    std::vector<std::string> taken_{};
  };
};

}  // namespace onceward
