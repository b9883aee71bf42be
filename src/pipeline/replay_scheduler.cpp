#include <onceward/pipeline/replay_scheduler.hpp>

#include "pipeline/driver.hpp"
#include "pipeline/run_scan.hpp"
#include "pipeline/runner_state.hpp"
#include "pipeline/storable.hpp"
#include "pipeline/stored_run.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>

namespace onceward {

using pipeline_detail::Run;
using Seconds = std::chrono::duration<double>;

namespace {

constexpr std::size_t most_id = 64;
constexpr int most_tries = 8;
constexpr auto pause_of_a_try = std::chrono::milliseconds(50);
constexpr double longest_gap_s = 86'400;
constexpr std::string_view act_name = "redrive";

/// Sleeps, unless it is told to stop.
void rest(std::chrono::steady_clock::time_point until, const std::stop_token& stop) {
  std::mutex mutex;
  std::condition_variable_any wake;
  std::unique_lock lock(mutex);
  (void)wake.wait_until(lock, stop, until, [] { return false; });
}

bool matches(const RedriveFilter& filter, const Run& run, Revision revision) {
  if (std::find(filter.states.begin(), filter.states.end(), run.state) == filter.states.end()) return false;
  if (!filter.code.empty()) {
    const std::string_view reason = run.reason;
    if (!reason.starts_with(filter.code)) return false;
    const auto rest = reason.substr(filter.code.size());
    if (!rest.empty() && rest[0] != ':' && rest[0] != ' ') return false;
  }
  const Timestamp ended{Duration(revision)};
  return (!filter.ended_from || ended >= *filter.ended_from) &&
         (!filter.ended_until || ended < *filter.ended_until);
}

bool was_pushed(const Run& run, std::string_view id) {
  return std::any_of(run.acts.begin(), run.acts.end(),
                     [&](const RunAct& act) { return act.act == act_name && act.path == id; });
}

Result<void> check(const RedriveFilter& filter, const RedriveOptions& options) {
  const auto refuse = [](std::string_view why) {
    return fail(ErrorCode::invalid_argument, fmt::format("redrive: {}", why));
  };
  if (options.id.empty() || options.id.size() > most_id || !pipeline_detail::is_storable(Value(options.id)))
    return refuse("its id needs 1 to 64 bytes of UTF-8");
  if (auto fine = pipeline_detail::check_operator(options.by); !fine) return refuse(fine.error().message);
  if (!(options.per_second > 0)) return refuse("per_second must be above 0");
  if (!filter.key_prefix.empty() && filter.pipeline.empty()) return refuse("key_prefix needs a pipeline");
  for (const auto state : filter.states) {
    if (state == RunState::running || state == RunState::succeeded)
      return refuse(fmt::format("runs that are {} cannot be pushed on", to_string(state)));
  }
  return {};
}

}  // namespace

Result<bool> Runner::push_on(const RunName& name, Revision seen, std::string_view id, const Operator& by) {
  bool doubt = false;  // an answer was lost: it may have been done by this very call
  bool pushed = false;
  bool moved = false;
  const auto change = [&](Run& run, const Record& record) -> Result<RunAct> {
    pushed = was_pushed(run, id);
    moved = record.revision != seen;
    if (pushed || moved) return fail(ErrorCode::wrong_state, "it was moved before");
    RunAct act{.act = std::string(act_name), .actor = {}, .reason = {}, .path = std::string(id)};
    act.before = to_string(run.state);
    if (auto again = begin_again(run); !again) return fail(std::move(again).error());
    act.after = to_string(run.state);
    return act;
  };
  for (int tries = 1;; ++tries) {
    auto done = operate(name, by, change);
    if (done) return true;
    if (pushed || moved) return pushed && doubt;
    const auto advice = retry_advice(done.error().code);
    if (done.error().code == ErrorCode::wrong_state) {
      // A worker that has it already: it was pushed on.
      const auto stored = pipeline_detail::read_run(state_->storage, name);
      if (stored && stored->record.revision != seen) return was_pushed(stored->run, id) && doubt;
    }
    if (advice == RetryAdvice::give_up || tries == most_tries) return fail(std::move(done).error());
    doubt = doubt || advice == RetryAdvice::read_back;
    std::this_thread::sleep_for(pause_of_a_try);
  }
}

namespace {

/// One redrive, from its cursor to its end.
class Redrive {
 public:
  using Push = std::function<Result<bool>(const RunName&, Revision)>;

  Redrive(const RedriveFilter& filter, const RedriveOptions& options, Push push)
      : filter_(filter), options_(options), push_(std::move(push)) {}

  Result<RedriveReport> go(pipeline_detail::RunScan& scan) {
    while (!over()) {
      report_.cursor = scan.cursor();
      auto page = patiently([&] { return scan.next(); });
      if (!page) return fail(std::move(page).error());
      if (scan.done()) {
        report_.cursor.clear();
        break;
      }
      for (const auto& record : page->records) {
        // What is left of the page is met again by who goes on from its cursor.
        if (over()) return report_;
        if (auto looked = look_at(page->partition, record); !looked) return fail(std::move(looked).error());
      }
      report_.cursor = scan.cursor();
      if (options_.progress) options_.progress(report_);
    }
    return report_;
  }

 private:
  [[nodiscard]] bool over() const {
    return options_.stop.stop_requested() || (options_.limit && report_.pushed >= *options_.limit);
  }
  template <class Work>
  auto patiently(const Work& work) -> decltype(work()) {
    auto result = work();
    for (int tries = 1; !result && tries < most_tries; ++tries) {
      if (retry_advice(result.error().code) == RetryAdvice::give_up) break;
      std::this_thread::sleep_for(pause_of_a_try);
      result = work();
    }
    return result;
  }

  Result<void> look_at(const std::string& partition, const Record& record) {
    ++report_.looked_at;
    auto run = pipeline_detail::decode_run(record);
    const auto head = run ? run_record_key(run->pipeline, "") : std::string();
    if (!run || !record.key.starts_with(head)) {
      ++report_.corrupt;
      return {};
    }
    if (!filter_.pipeline.empty() && run->pipeline != filter_.pipeline) return {};
    RedriveLine line{{run->pipeline, partition, record.key.substr(head.size())}, run->state, run->reason};
    if (was_pushed(*run, options_.id)) {
      if (run->state != RunState::running && !matches(filter_, *run, record.revision)) return {};
      line.what = RedriveLine::What::already;
      line.why = "by this redrive, before";
    } else if (!matches(filter_, *run, record.revision)) {
      return {};
    } else if (!rested()) {
      return {};
    } else if (auto pushed = push(line.run, *run, record); !pushed) {
      const auto& error = pushed.error();
      if (retry_advice(error.code) != RetryAdvice::give_up) return fail(error);
      line.what = RedriveLine::What::refused;
      line.why = error.message;
    } else if (!*pushed) {
      line.what = RedriveLine::What::already;
      line.why = "somebody moved it meanwhile";
    }
    count(line);
    return {};
  }

  /// Waits for the time of the next push; false where it was told to stop.
  bool rested() {
    if (options_.dry_run) return true;
    rest(next_, options_.stop);
    if (options_.stop.stop_requested()) return false;
    next_ = std::max(next_, std::chrono::steady_clock::now()) + gap();
    return true;
  }

  Result<bool> push(const RunName& name, Run& run, const Record& record) {
    if (options_.dry_run) {
      if (auto takes = takes_act(run); !takes) return fail(std::move(takes).error());
      if (auto again = begin_again(run); !again) return fail(std::move(again).error());
      return true;
    }
    return push_(name, record.revision);
  }
  [[nodiscard]] std::chrono::steady_clock::duration gap() const {
    return std::chrono::duration_cast<std::chrono::steady_clock::duration>(
        Seconds(std::min(1 / options_.per_second, longest_gap_s)));
  }

  void count(const RedriveLine& line) {
    ++report_.matched;
    ++(line.what == RedriveLine::What::pushed    ? report_.pushed
       : line.what == RedriveLine::What::already ? report_.already
                                                 : report_.refused);
    if (options_.each) options_.each(line);
  }

  const RedriveFilter& filter_;
  const RedriveOptions& options_;
  Push push_;
  RedriveReport report_{};
  std::chrono::steady_clock::time_point next_{};
};

}  // namespace

Result<RedriveReport> ReplayScheduler::redrive(const RedriveFilter& filter, const RedriveOptions& options) {
  if (auto fine = check(filter, options); !fine) return fail(std::move(fine).error());
  std::vector<std::string> partitions;
  if (!filter.partition.empty()) partitions.push_back(filter.partition);
  const auto prefix = filter.pipeline.empty() ? std::string(pipeline_detail::run_prefix)
                                              : run_record_key(filter.pipeline, filter.key_prefix);
  pipeline_detail::RunScan scan(storage_, std::move(partitions), prefix, options.page);
  if (!options.cursor.empty()) {
    if (auto set = scan.go_on_from(options.cursor); !set) return fail(std::move(set).error());
  }
  return Redrive(filter, options,
                 [&](const RunName& name, Revision seen) {
                   return runner_.push_on(name, seen, options.id, options.by);
                 })
      .go(scan);
}

}  // namespace onceward
