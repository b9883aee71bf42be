#pragma once
#include <onceward/expr/bind.hpp>
#include <onceward/expr/json_text.hpp>
#include <onceward/idempotency/attempt.hpp>
#include <onceward/idempotency/guard_access.hpp>
#include <onceward/idempotency/payload.hpp>
#include <onceward/idempotency/replay_cache.hpp>

#include <exception>
#include <functional>
#include <stdexcept>

namespace onceward {

/// What an application found out about an earlier attempt that may have taken effect (OnStale::reconcile).
template <class T>
class Reconciled {
 public:
  using Content = std::conditional_t<std::is_void_v<T>, std::monostate, T>;

  /// It took effect, with this result: it is stored and given, and nothing runs.
  static Reconciled took_effect(Content result = {}) { return Reconciled(State::done, std::move(result)); }
  /// It did not, and never will: the handler runs.
  static Reconciled no_effect() { return Reconciled(State::none, {}); }
  /// Still nobody knows: the key is kept, the call gets in_doubt.
  static Reconciled unknown() { return Reconciled(State::unknown, {}); }

  enum class State : std::uint8_t { done, none, unknown };
  [[nodiscard]] State state() const noexcept { return state_; }
  [[nodiscard]] Content& result() noexcept { return result_; }

 private:
  Reconciled(State state, Content result) : state_(state), result_(std::move(result)) {}
  State state_;
  Content result_;
};

namespace guard_detail {

/// A text that keeps its room from one call of a thread to the next.
class Scratch {
 public:
  Scratch() noexcept;
  ~Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  std::string text;
};

/// 32 hexadecimal digits of SHA-256 over the canonical JSON of a payload.
using Fingerprint = std::array<char, 32>;
void compute_fingerprint(std::string_view payload, Fingerprint& out) noexcept;

/// Takes members out of a value, by their paths ("meta.sent_at"). What is not there is no mistake.
void remove_paths(Value& value, const std::vector<std::string>& paths);
/// Errors: invalid_argument where one names nothing of a request that has these, see add_paths().
Result<void> check_paths(const std::vector<std::string>& paths, const std::vector<std::string>& known);

/// Adds the paths of T's fields that a payload can leave out: "meta", "meta.sent_at", and "extra.*" where
/// what lies beneath is known only when a call comes.
template <class T>
void add_paths(std::vector<std::string>& known, const std::string& at) {
  namespace rd = reflect_detail;
  const auto beneath = [&](std::string_view name) {
    return at.empty() ? std::string(name) : at + "." + std::string(name);
  };
  if (!at.empty()) known.push_back(at);
  if constexpr (rd::HasCodec<T> || std::is_same_v<T, Value>) {
    known.push_back(beneath("*"));
  } else if constexpr (rd::is_optional<T>) {
    add_paths<typename T::value_type>(known, at);
  } else if constexpr (rd::is_string_map<T>) {
    known.push_back(beneath("*"));
  } else if constexpr (Reflected<T>) {
    constexpr auto names = field_names<T>();
    [&]<std::size_t... i>(std::index_sequence<i...>) {
      (add_paths<std::remove_cvref_t<decltype(rd::get_field<i>(std::declval<const T&>()))>>(
           known, beneath(names[i])),
       ...);
    }
    (std::make_index_sequence<rd::field_count<T>>());
  }
}

/// Counts a call as refused that an exception of its payload's codec ends before its claim.
class CountedThrow {
 public:
  explicit CountedThrow(Counters* counters) noexcept : counters_(counters) {}
  ~CountedThrow() {
    if (std::uncaught_exceptions() > before_) GuardAccess::count_refused(counters_);
  }
  CountedThrow(const CountedThrow&) = delete;
  CountedThrow& operator=(const CountedThrow&) = delete;

 private:
  Counters* counters_ = nullptr;
  int before_ = std::uncaught_exceptions();
};

/// The handler may take an Attempt& behind its arguments.
template <class Handler, class... Request>
inline constexpr bool takes_attempt = std::is_invocable_v<const Handler&, const Request&..., Attempt&>;
template <class Handler, class... Request>
decltype(auto) call(const Handler& handler, Attempt& attempt, const Request&... request) {
  if constexpr (takes_attempt<Handler, Request...>) {
    return std::invoke(handler, request..., attempt);
  } else {
    return std::invoke(handler, request...);
  }
}
template <class Handler, class... Request>
using ReturnedBy = std::remove_cvref_t<decltype(call(std::declval<const Handler&>(), std::declval<Attempt&>(),
                                                     std::declval<const Request&>()...))>;

/// Everything of a guarded handler but the handler: what a call knows before its claim, and what becomes of
/// the claim's answer and of the work's end. Shared by the blocking and the asynchronous wrapper.
template <class T, class... Request>
class Wrapping {
 public:
  using Content = typename Outcome<T>::Content;
  using Payload = KeptPayload<Request...>;
  using Cache = ReplayCache<Content, Payload>;
  using Reconcile = std::function<Reconciled<T>(const Request&..., Attempt&)>;

  Wrapping(GuardedBy where, BoundKey<Request...> key, Policy policy,
           std::array<std::string_view, sizeof...(Request)> names)
      : where_(where), key_(std::move(key)) {
    if (auto checked = policy.check(); !checked) throw std::invalid_argument(describe(checked.error()));
    counters_ = GuardAccess::counters(where, policy.operation);
    for (std::size_t i = 0; i < names.size(); ++i)
      names_[i] = names[i].empty() ? "p" + std::to_string(i) : std::string(names[i]);
    auto known = paths();
    if (auto checked = check_paths(policy.fingerprint_without, known); !checked)
      throw std::invalid_argument(checked.error().message);
    cache_ = std::make_shared<Cache>(policy.replay_cache);
    base_ = std::make_shared<const Policy>(std::move(policy));
    GuardAccess::know(where_, base_, std::move(known));
  }

  /// What a call is, computed once: a handler that changes what it was given cannot move its record.
  struct Call {
    KeyBuffer place;
    std::string_view key;
    std::shared_ptr<const Policy> policy;
    std::optional<Scratch> payload;  ///< the canonical text, where it is needed
    Fingerprint print;
    Duration began{};               ///< set where the result may be kept
    std::optional<Payload> kept{};  ///< what it is kept with: as it was before the handler saw it

    [[nodiscard]] std::string_view fingerprint() const noexcept {
      return policy->fingerprint ? std::string_view(print.data(), print.size()) : std::string_view();
    }
  };

  /// Fills `call`; an outcome where there is one without asking the storage.
  std::optional<Outcome<T>> begin(Call& call, const Request&... request) const {
    std::optional<Outcome<T>> known;
    auto key = key_.render(call.place, request...);
    if (!key) {
      GuardAccess::count_refused(counters_);
      known.emplace(Verdict::storage_down).with_error(std::move(key).error());
      return known;
    }
    call.key = *key;
    const auto changed = GuardAccess::changed(where_, base_);
    const auto& policy = changed ? *changed : *base_;
    if (policy.replay_cache > 0 && find_kept(known, call, policy, request...)) return known;
    call.policy = changed ? changed : base_;
    if (policy.replay_cache > 0) {
      call.began = since_boot();
      const bool by_text = Payload::needs_text(!policy.fingerprint_without.empty());
      call.kept.emplace(by_text ? payload_of(call, policy, request...) : std::string_view(), by_text,
                        request...);
    }
    if (policy.fingerprint) compute_fingerprint(payload_of(call, policy, request...), call.print);
    return known;
  }

  [[nodiscard]] Outcome<T> answer(Call& call, const Guard& guard) const {
    raise_duplicate(*call.policy, guard.verdict());
    Outcome<T> outcome(guard.verdict());
    outcome.with_claim(guard.attempt(), guard.fence(), guard.retry_after()).with_error(guard.error());
    if (guard.verdict() != Verdict::replayed || guard.error() ||
        call.policy->on_duplicate == OnDuplicate::code)
      return outcome;
    Content content{};
    if constexpr (!std::is_void_v<T>) {
      if (auto read = from_value(guard.result(), content); !read) {
        // It ran; that its result has another shape now is no reason to run it again.
        GuardAccess::count_unreadable(counters_);
        return Outcome<T>(Verdict::result_unavailable)
            .with_claim(guard.attempt(), guard.fence())
            .with_error(std::move(read).error());
      }
    }
    keep(call, content, guard, GuardAccess::replay_left(guard).value_or(Duration{}));
    return outcome.with_value(std::move(content));
  }

  /// A claim that could not be asked for.
  [[nodiscard]] static Outcome<T> refused(Error error) {
    return Outcome<T>(Verdict::storage_down).with_error(std::move(error));
  }

  /// It may be asked about as often as it takes, and run no more often than the policy allows.
  [[nodiscard]] static Outcome<T> exhausted(Guard& guard) {
    GuardAccess::tell_as(guard, Verdict::attempts_exhausted);
    Outcome<T> outcome(Verdict::attempts_exhausted);
    outcome.with_claim(guard.attempt(), guard.fence());
    return outcome;
  }

  /// The result's JSON into `json`; an error where its codec throws: the work took effect, so its key must
  /// not be given back.
  static std::optional<Error> encode_result(std::string& json, const Content& result) {
    if constexpr (std::is_void_v<T>) {
      json = "null";
      return std::nullopt;
    } else {
      std::string why = "its codec threw something that is no std::exception";
      try {
        append_json(json, result);
        return std::nullopt;
      } catch (const std::exception& thrown) {
        why = thrown.what();
      } catch (...) {  // told as `why`
      }
      return Error{ErrorCode::invalid_argument, "the result cannot be stored: " + why};
    }
  }

  /// After the work ended with a result that was stored so.
  [[nodiscard]] Outcome<T> ended(Call& call, const Guard& guard, Completion completion, Content content,
                                 Verdict verdict = Verdict::executed) const {
    if (completion.recorded && completion.verdict == Verdict::executed)
      keep(call, content, guard, call.policy->retention);
    Outcome<T> outcome(completion.verdict == Verdict::executed ? verdict : completion.verdict);
    return outcome.with_claim(guard.attempt(), guard.fence())
        .with_recorded(completion.recorded, std::move(completion.acknowledgement))
        .with_value(std::move(content))
        .with_error(std::move(completion.error));
  }
  /// After the work ended with an error.
  [[nodiscard]] static Outcome<T> failed(const Guard& guard, const Completion& completion,
                                         const Error& error) {
    Outcome<T> outcome(completion.verdict);
    return outcome.with_claim(guard.attempt(), guard.fence())
        .with_recorded(completion.recorded, completion.acknowledgement)
        .with_error(completion.error ? completion.error : GuardAccess::as_stored(error));
  }

  /// After effects_started() an error may have left one behind, unless the application itself says that it
  /// has not.
  [[nodiscard]] static ErrorClass class_of(const Policy& policy, const Error& error, bool effects_started) {
    const auto told = policy.classify ? policy.classify(error) : classify_error(error);
    const bool presumed = effects_started && !policy.classify && told == ErrorClass::retryable;
    return presumed ? ErrorClass::in_doubt : told;
  }

  [[nodiscard]] GuardedBy where() const noexcept { return where_; }
  [[nodiscard]] Counters* counters() const noexcept { return counters_; }
  [[nodiscard]] Attempt attempt_of(const Call& call, const Guard& guard) const {
    return Attempt(call.policy->operation, call.key, guard.attempt(), guard.fence(), guard.lost());
  }
  Reconcile reconcile{};

 private:
  static void raise_duplicate(const Policy& policy, Verdict verdict) {
    if (policy.on_duplicate == OnDuplicate::raise &&
        (verdict == Verdict::replayed || verdict == Verdict::in_progress))
      throw DuplicateCall(verdict);
  }

  /// Of the fields that Policy::fingerprint_without may name.
  [[nodiscard]] std::vector<std::string> paths() const {
    std::vector<std::string> known;
    if constexpr (sizeof...(Request) == 1) {
      (add_paths<Request>(known, {}), ...);
    } else {
      std::size_t i = 0;
      (add_paths<Request>(known, names_[i++]), ...);
    }
    return known;
  }

  void append_payload(std::string& out, const Policy& policy, const Request&... request) const {
    const CountedThrow counted(counters_);
    if (!policy.fingerprint_without.empty()) {
      auto value = payload_value(request...);
      remove_paths(value, policy.fingerprint_without);
      return value.append_json(out);
    }
    if constexpr (sizeof...(Request) == 1) {
      (append_json(out, request), ...);
    } else {
      out += '[';
      ((append_json(out, request), out += ','), ...);
      out.back() = ']';
    }
  }
  [[nodiscard]] Value payload_value(const Request&... request) const {
    if constexpr (sizeof...(Request) == 1) {
      return (to_value(request), ...);
    } else {
      Map map;
      std::size_t i = 0;
      (map.set(names_[i++], to_value(request)), ...);
      return map;
    }
  }

  /// The canonical text, made once.
  std::string_view payload_of(Call& call, const Policy& policy, const Request&... request) const {
    if (!call.payload) append_payload(call.payload.emplace().text, policy, request...);
    return call.payload->text;
  }

  /// An outcome where the result is kept in this process.
  bool find_kept(std::optional<Outcome<T>>& outcome, Call& call, const Policy& policy,
                 const Request&... request) const {
    const bool by_text = policy.fingerprint && Payload::needs_text(!policy.fingerprint_without.empty());
    const auto text = by_text ? payload_of(call, policy, request...) : std::string_view();
    const bool found = cache_->find(call.key, [&](const auto& kept) {
      // Of another payload the storage says so itself.
      if (policy.fingerprint && !(by_text ? kept.payload.is_text(text) : kept.payload.is(request...)))
        return false;
      outcome.emplace(Verdict::replayed);
      outcome->with_claim(kept.attempt, kept.fence);
      if (policy.on_duplicate != OnDuplicate::code) outcome->with_value(kept.content);
      return true;
    });
    if (!found) return false;
    GuardAccess::count_replayed(counters_);
    raise_duplicate(policy, Verdict::replayed);
    return true;
  }

  /// `left` is what is left of its retention, counted from before the storage was asked.
  void keep(Call& call, const Content& content, const Guard& guard, Duration left) const {
    if (!call.kept || left <= Duration{}) return;
    cache_->resize(call.policy->replay_cache);
    cache_->put(call.key, {content, *std::move(call.kept), guard.attempt(), guard.fence(),
                           call.began + std::min(left, call.policy->replay_cache_for)});
    call.kept.reset();
  }

  GuardedBy where_;
  BoundKey<Request...> key_;
  std::shared_ptr<const Policy> base_;
  Counters* counters_ = nullptr;
  std::array<std::string, sizeof...(Request)> names_;
  std::shared_ptr<Cache> cache_;
};

}  // namespace guard_detail
}  // namespace onceward
