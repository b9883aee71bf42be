#include "checker.hpp"

#include "calls.hpp"

#include <algorithm>
#include <limits>
#include <tuple>

namespace torture {
namespace {

constexpr std::int64_t ms = 1'000'000;

class Checker {
 public:
  explicit Checker(const Observed& observed)
      : observed_(observed),
        calls_(calls_of(observed.lines)),
        keys_(keys_of(calls_.calls, observed.realtime_offset_ns)),
        found_(calls_.broken) {
    for (const auto& effect : observed.accepted) accepted_.insert({effect.key, effect.fence, effect.result});
    for (const auto& row : observed.rows) rows_[row.key].push_back(row.result);
  }

  std::vector<Violation> run() {
    for (const auto& call : calls_.calls) {
      check_hang(call);
      check_verdict(call);
    }
    for (const auto& key : keys_) {
      check_payloads(key);
      check_results(key);
      check_run_again(key);
      if (key.kind != Kind::enlisted) check_owners(key);
      check_fences(key);
      if (key.kind == Kind::fenced) check_effects(key);
      if (key.kind == Kind::enlisted) check_rows(key);
      check_end(key);
    }
    check_accepted();
    if (calls_.calls.empty()) violation("history", "-", "there is no call in it, so it proves nothing");
    return std::move(found_);
  }

 private:
  void violation(const char* rule, const std::string& key, const std::string& what) {
    found_.push_back({rule, key, what});
  }
  static std::string name(const Call& call) {
    return "call " + call.begin.process + "/" + std::to_string(call.begin.call);
  }

  void check_hang(const Call& call) {
    if (!call.end) {
      if (observed_.killed.count(call.begin.process) != 0) return;
      violation("hang", call.begin.key, name(call) + " never ended");
    } else if (const auto taken = taken_ns(call, observed_); taken > call.begin.limit_ms * ms) {
      violation("hang", call.begin.key,
                name(call) + " took " + std::to_string(taken / ms) + " ms of " +
                    std::to_string(call.begin.limit_ms));
    }
  }

  void check_verdict(const Call& call) {
    if (call.runs > 1) violation("verdict", call.begin.key, name(call) + " ran more than once");
    if (!call.end) return;
    static const std::set<std::string> idle = {"replayed",     "in_progress",        "key_reused", "in_doubt",
                                               "storage_down", "attempts_exhausted", "not_begun"};
    const bool ran = call.runs > 0;
    if (ran == (idle.count(call.end->word) != 0)) {
      violation("verdict", call.begin.key,
                name(call) + (ran ? " ran" : " did not run") + " and ended with " + call.end->word);
    }
  }

  void check_payloads(const KeyHistory& key) {
    for (const auto* call : key.calls) {
      if (call->told()) {
        const auto* maker = key.maker(call->end->result);
        if (maker != nullptr && maker->call->begin.payload != call->begin.payload) {
          violation("payload", key.key, name(*call) + " was told the result of another payload");
        }
      }
      if (!call->end || call->end->word != "key_reused") continue;
      const bool reused = std::any_of(key.calls.begin(), key.calls.end(), [&](const Call* other) {
        return other->begin.payload != call->begin.payload && other->begin.at < call->end->at;
      });
      if (!reused)
        violation("payload", key.key, name(*call) + " is told key_reused: there was no other payload");
    }
  }

  void check_results(const KeyHistory& key) {
    struct Seen {
      const Call* call;
      std::int64_t first_end;
      std::int64_t last_begin;
    };
    std::map<std::string, Seen> results;
    std::map<std::int64_t, std::string> by_fence;
    for (const auto* call : key.calls) {
      if (!call->told()) continue;
      const auto& end = *call->end;
      if (key.maker(end.result) == nullptr) {
        violation("result", key.key, name(*call) + " was told a result that no run made");
      }
      const auto& same = by_fence.emplace(end.fence, end.result).first->second;
      if (same != end.result) {
        violation("result", key.key,
                  name(*call) + " was told another result of fence " + std::to_string(end.fence));
      }
      auto& seen = results.emplace(end.result, Seen{call, end.at, call->begin.at}).first->second;
      if (seen.call->end->fence != end.fence) {
        violation("result", key.key, name(*call) + " was told the same result under another fence");
      }
      seen.first_end = std::min(seen.first_end, end.at);
      seen.last_begin = std::max(seen.last_begin, call->begin.at);
    }
    for (const auto& [first, seen] : results) {
      for (const auto& [second, later] : results) {
        if (first == second || later.call->end->fence < seen.call->end->fence) continue;
        const auto* maker = key.maker(first);
        const auto from = maker == nullptr ? seen.first_end : maker->done_from;
        if (later.first_end < from + seen.call->begin.retention_ms * ms - slack_ns) {
          violation("result", key.key,
                    "the stored result of " + name(*seen.call) + " changed to that of " + name(*later.call));
        } else if (seen.last_begin > later.first_end) {
          violation("result", key.key, "the result of " + name(*seen.call) + " came back");
        }
      }
    }
  }

  void check_run_again(const KeyHistory& key) {
    for (const auto& done : key.claims) {
      if (!done.done_at) continue;
      const auto until = done.done_from + done.call->begin.retention_ms * ms - slack_ns;
      for (const auto& other : key.claims) {
        if (&other == &done || other.latest >= until) continue;
        const bool after = (done.fence != 0 && other.fence > done.fence) || other.earliest > *done.done_at;
        if (after) {
          violation("run_again", key.key,
                    name(*other.call) + " acquired it although " + name(*done.call) + " had completed it");
        }
      }
    }
  }

  void check_owners(const KeyHistory& key) {
    for (const auto& owner : key.claims) {
      for (const auto& other : key.claims) {
        const bool later =
            owner.fence != 0 && other.fence != 0 ? other.fence > owner.fence : other.earliest > owner.latest;
        if (&owner != &other && later && other.latest < owner.holds_until) {
          violation("owners", key.key,
                    name(*other.call) + " acquired it while the lease of " + name(*owner.call) + " ran");
        }
      }
    }
  }

  void check_fences(const KeyHistory& key) {
    std::vector<const Claim*> claims;
    for (const auto& claim : key.claims) {
      if (claim.fence != 0 && (key.kind != Kind::enlisted || claim.done_at)) claims.push_back(&claim);
    }
    std::sort(claims.begin(), claims.end(),
              [](const Claim* a, const Claim* b) { return a->fence < b->fence; });
    for (std::size_t i = 1; i < claims.size(); ++i) {
      const auto& before = *claims[i - 1];
      const auto& after = *claims[i];
      if (before.fence == after.fence) {
        violation("fence", key.key, name(*before.call) + " and " + name(*after.call) + " share a fence");
      }
      const bool expired =
          after.latest > before.call->begin.at + before.call->begin.retention_ms * ms - slack_ns;
      if (after.attempt <= before.attempt && !expired) {
        violation("attempt", key.key,
                  name(*after.call) + " is attempt " + std::to_string(after.attempt) + " after attempt " +
                      std::to_string(before.attempt));
      }
    }
    // Whoever knew of its claim before another call began has the smaller fence.
    auto soonest = std::numeric_limits<std::int64_t>::max();
    const Claim* owner = nullptr;
    for (auto claim = claims.rbegin(); claim != claims.rend(); ++claim) {
      if (owner != nullptr && soonest < (*claim)->call->begin.at) {
        violation("fence", key.key,
                  name(*(*claim)->call) + " came after " + name(*owner->call) + " and has the smaller fence");
      }
      if ((*claim)->call->acquired->at < soonest) {
        soonest = (*claim)->call->acquired->at;
        owner = *claim;
      }
    }
  }

  /// The final state of a key: what the quiet process was told last.
  static const Call* final_of(const KeyHistory& key) {
    const Call* final = nullptr;
    for (const auto* call : key.calls) {
      if (call->begin.process != quiet_process || !call->end || call->end->word != "replayed") continue;
      if (final == nullptr || call->begin.at > final->begin.at) final = call;
    }
    return final;
  }

  void check_effects(const KeyHistory& key) {
    for (const auto* call : key.calls) {
      if (!call->told()) continue;
      const auto& end = *call->end;
      if (accepted_.count({key.key, end.fence, end.result}) == 0)
        violation("effect", key.key, name(*call) + " was told an outcome whose effect is not there");
    }
    const auto* final = final_of(key);
    if (final == nullptr) return;
    const auto standing = observed_.standing.find(key.key);
    if (standing == observed_.standing.end()) {
      violation("effect", key.key, "it is done, and no effect of it stands");
    } else if (standing->second.fence != final->end->fence || standing->second.result != final->end->result) {
      violation("effect", key.key, "the effect that stands is not the one of the stored outcome");
    }
  }

  void check_rows(const KeyHistory& key) {
    const auto found = rows_.find(key.key);
    const auto rows = found == rows_.end() ? std::vector<std::string>{} : found->second;
    if (rows.size() > 1) violation("rows", key.key, "it has " + std::to_string(rows.size()) + " rows");
    for (const auto* call : key.calls) {
      if (!call->told()) continue;
      if (rows.empty()) {
        violation("rows", key.key, name(*call) + " was told an outcome, and there is no row");
      } else if (rows.front() != call->end->result) {
        violation("rows", key.key, name(*call) + " was told another outcome than the one of the row");
      }
    }
  }

  void check_accepted() {
    std::map<std::string, std::int64_t> largest;
    for (const auto& effect : observed_.accepted) {
      auto& fence = largest[effect.key];
      if (effect.fence <= fence)
        violation("effect", effect.key, "an effect was accepted under a smaller fence");
      fence = effect.fence;
    }
    for (const auto& key : keys_) {
      if (key.kind == Kind::enlisted) rows_.erase(key.key);
    }
    for (const auto& [key, results] : rows_)
      violation("rows", key, "there is a row of a key that no call named");
  }

  void check_end(const KeyHistory& key) {
    if (final_of(key) == nullptr) violation("end", key.key, "it could not be driven to an end");
  }

  const Observed& observed_;
  Calls calls_;
  std::vector<KeyHistory> keys_;
  std::set<std::tuple<std::string, std::int64_t, std::string>> accepted_;
  std::map<std::string, std::vector<std::string>> rows_;
  std::vector<Violation> found_;
};

}  // namespace

std::vector<Violation> check(const Observed& observed) { return Checker(observed).run(); }

std::int64_t longest_call_ns(const Observed& observed) {
  std::int64_t longest = 0;
  for (const auto& call : calls_of(observed.lines).calls) {
    if (call.end) longest = std::max(longest, taken_ns(call, observed));
  }
  return longest;
}

}  // namespace torture
