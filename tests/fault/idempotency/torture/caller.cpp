#include "caller.hpp"

#include <onceward/idempotency/idempotent.hpp>

#include <stdexcept>
#include <thread>

namespace torture {
namespace {

using namespace onceward;

/// What the handlers of this test throw.
struct Thrown : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct Request {
  std::string name;
  std::int64_t payload;
};

std::int64_t ms_of(Duration duration) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(duration).count();
}

Error final_error(const std::string& text) { return {ErrorCode::invalid_argument, text}; }

}  // namespace

Line Caller::line(const Ask& ask, Event event) const {
  Line line;
  line.process = process_;
  line.call = call_;
  line.event = event;
  line.kind = ask.kind;
  line.key = ask.key;
  line.payload = ask.payload;
  return line;
}

std::string Caller::result_of(const Ask& ask) const {
  return process_ + "-" + std::to_string(call_) + std::string(ask.padding, '.');
}

void Caller::finishing(const Ask& ask, const char* word, const std::string& result) {
  auto finish = line(ask, Event::finishing);
  finish.word = word;
  finish.result = result;
  recorder_.write(finish);
}

Line Caller::call(const Ask& ask) {
  call_ = ++calls_;
  auto begin = line(ask, Event::begin);
  begin.lease_ms = ms_of(ask.policy.lease);
  begin.retention_ms = ms_of(ask.policy.retention);
  const auto wait = ask.policy.on_busy == OnBusy::wait ? ask.policy.wait_limit : Duration::zero();
  begin.limit_ms = ms_of(wait + ask.policy.record_limit + ask.work + ask.after_work + call_margin);
  recorder_.write(begin);
  auto end = ask.kind == Kind::fenced ? fenced(ask) : ask.kind == Kind::enlisted ? enlisted(ask) : plain(ask);
  recorder_.write(end);
  return end;
}

void Caller::work(Guard& guard, const Ask& ask) {
  const auto part = ask.work / (ask.renewals + 1);
  std::this_thread::sleep_for(part);
  for (int i = 0; i < ask.renewals; ++i) {
    auto renewal = line(ask, Event::renewed);
    renewal.at = monotonic_ns();
    if (guard.renew()) recorder_.write(renewal);
    std::this_thread::sleep_for(part);
  }
}

Line Caller::fenced(const Ask& ask) {
  auto end = line(ask, Event::end);
  auto guard = Guard::claim(storage_, ask.key, ask.policy, "payload " + std::to_string(ask.payload));
  if (!guard) return end.word = "storage_down", end;
  end.fence = guard->fence();
  end.attempt = guard->attempt();
  if (!guard->acquired()) {
    end.word = to_string(guard->verdict());
    if (guard->verdict() != Verdict::replayed) return end;
    const auto* text = guard->result().string();
    end.result = hash_of(guard->error() ? "error " + guard->error()->message : text ? *text : "no text");
    return end;
  }
  auto acquired = line(ask, Event::acquired);
  acquired.fence = guard->fence();
  acquired.attempt = guard->attempt();
  recorder_.write(acquired);

  work(*guard, ask);
  const auto text = result_of(ask);
  const auto result = hash_of(ask.ending == Ending::fail ? "error " + text : text);
  const bool accepted = table_.write(ask.key, guard->fence(), result);
  auto effect = line(ask, accepted ? Event::effect : Event::refused);
  effect.fence = guard->fence();
  effect.result = result;
  recorder_.write(effect);
  if (!accepted) {  // another owner has taken effect: this one gives up
    finishing(ask, "abandon", "-");
    return end.word = "fenced_off", end;
  }
  std::this_thread::sleep_for(ask.after_work);

  if (ask.ending == Ending::release || ask.ending == Ending::abandon) {
    finishing(ask, ask.ending == Ending::release ? "release" : "abandon", "-");
    if (ask.ending == Ending::release) (void)guard->release();  // where that fails, the lease ends the claim
    return end.word = "given_back", end;
  }
  finishing(ask, ask.ending == Ending::fail ? "fail" : "complete", result);
  const auto completion = ask.ending == Ending::fail ? guard->complete_with_error(final_error(text))
                                                     : guard->complete(Value(text));
  end.word = to_string(completion.verdict);
  end.recorded = completion.recorded;
  end.result = result;
  return end;
}

/// A call through idempotent(), on any storage.
Line Caller::guarded(const Ask& ask, Storage& storage) {
  auto end = line(ask, Event::end);
  const auto handler = [&](const Request&) -> Result<std::string> {
    recorder_.write(line(ask, Event::acquired));
    std::this_thread::sleep_for(ask.work);
    auto text = result_of(ask);
    if (ask.kind == Kind::enlisted) {
      rows_.add(ask.key, hash_of(text));
      recorder_.write(line(ask, Event::effect));
    }
    std::this_thread::sleep_for(ask.after_work);
    switch (ask.ending) {
      case Ending::complete: break;
      case Ending::fail: finishing(ask, "fail", hash_of("error " + text)); return fail(final_error(text));
      case Ending::release:
        finishing(ask, "release", "-");
        return fail(ErrorCode::unavailable, "what this call needs is away");
      case Ending::abandon: finishing(ask, "abandon", "-"); throw Thrown("the handler throws");
    }
    finishing(ask, "complete", hash_of(text));
    return text;
  };
  auto call = idempotent<Request>(storage, "#{name}", ask.policy, handler);
  const auto outcome = call({ask.key, ask.payload});
  end.word = to_string(outcome.verdict());
  end.fence = outcome.fence();
  end.attempt = outcome.attempt();
  end.recorded = outcome.recorded();
  if (outcome.has_value()) {
    end.result = hash_of(outcome.value());
  } else if (outcome.error() && outcome.error()->code == ErrorCode::invalid_argument) {
    end.result = hash_of("error " + outcome.error()->message);
  }
  return end;
}

Line Caller::plain(const Ask& ask) {
  try {
    return guarded(ask, storage_);
  } catch (const Thrown&) {
    auto end = line(ask, Event::end);
    return end.word = "threw", end;
  }
}

Line Caller::enlisted(const Ask& ask) {
  auto end = line(ask, Event::end);
  end.word = "not_begun";
  try {
    rows_.begin();
    end.word = "threw";
    const auto outcome = guarded(ask, rows_.storage());
    if (outcome.word != "executed" || outcome.result == "-") {
      rows_.rollback();  // nothing ran, or the handler gave up: its row must not stay
      return outcome;
    }
    end.word = "uncommitted";
    rows_.commit();
    return outcome;
  } catch (const std::exception&) {  // of the handler, or of a database that is away
    rows_.rollback();
    return end;
  }
}

}  // namespace torture
