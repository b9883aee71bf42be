// What a client is told: the table of http.hpp, and the form of a response.
#include <onceward/expr/value.hpp>
#include <onceward/idempotency/http.hpp>

#include <algorithm>
#include <array>

namespace onceward::http {
namespace {

/// A line of the table: status, what the type's URI ends with, and the texts.
struct Line {
  int status;
  bool retry;
  std::string_view name, title, detail;
};

constexpr Line in_progress{409, true, "in-progress", "A request is outstanding for this Idempotency-Key",
                           "The first request with this key is still being processed. Send the same request "
                           "again, with the same key, after the time in Retry-After."};
constexpr Line key_reused{422, false, "key-reused", "The Idempotency-Key is already used",
                          "This key came before with another payload. Nothing was done. Send a different "
                          "request with a key of its own."};
constexpr Line in_doubt{409, true, "in-doubt", "It is not yet known whether an earlier attempt took effect",
                        "An earlier attempt with this key was interrupted and is being looked into. Send the "
                        "same request again later, with the same key; do not send it with a new one."};
constexpr Line lease_lost{
    409, true, "superseded", "Another attempt took this request over",
    "The outcome of that attempt counts. Send the same request again, with the same key, "
    "to get it."};
constexpr Line already_done{409, false, "already-done", "This request was carried out before",
                            "Nothing was done now, and its response is not given again."};
constexpr Line result_unavailable{
    500, false, "result-unavailable", "The response is not available any more",
    "This request was carried out, and is not carried out again, but its response "
    "cannot be given. Look at the resource itself, or ask the service's operators."};
constexpr Line attempts_exhausted{500, false, "attempts-exhausted", "This request failed too often",
                                  "Every attempt with this key failed and no further one is made. Ask the "
                                  "service's operators before you send it with a new key."};
constexpr Line unavailable{503, true, "unavailable", "The service cannot process this request at present",
                           "Send the same request again, with the same key, after the time in Retry-After."};
constexpr Line unusable{400, false, "key-unusable", "This request's key cannot be stored",
                        "Nothing was done. Send a shorter key, best a UUID."};
constexpr Line failed{500, false, "failed", "The service failed",
                      "Sending the same request again does not help. Ask the service's operators."};
constexpr Line not_found{404, false, "not-found", "What this request names does not exist",
                         "Nothing was done. Mend the request and send it with a new key."};
constexpr Line conflict{409, false, "conflict", "This request does not fit the present state",
                        "Nothing was done. The same key gives the same answer again."};
constexpr Line invalid{400, false, "invalid-request", "This request is wrong",
                       "Nothing was done. Mend the request and send it with a new key."};

const Line& line_of_unasked(const Error* error) {
  if (error == nullptr || retry_advice(error->code) != RetryAdvice::give_up) return unavailable;
  switch (error->code) {
    case ErrorCode::corrupt: return failed;
    case ErrorCode::exhausted: return unavailable;  // a full disk is emptied
    default: return unusable;
  }
}

const Line& line_of_handler(const Error& error) {
  if (retry_advice(error.code) != RetryAdvice::give_up) return unavailable;
  switch (error.code) {
    case ErrorCode::not_found: return not_found;
    case ErrorCode::conflict:
    case ErrorCode::wrong_state: return conflict;
    case ErrorCode::exhausted:
    case ErrorCode::corrupt: return failed;
    default: return invalid;
  }
}

const Line* line_of(Verdict verdict, bool has_value, const Error* error) {
  switch (verdict) {
    case Verdict::in_progress: return &in_progress;
    case Verdict::key_reused: return &key_reused;
    case Verdict::in_doubt: return &in_doubt;
    case Verdict::lease_lost: return &lease_lost;
    case Verdict::attempts_exhausted: return &attempts_exhausted;
    case Verdict::storage_down: return &line_of_unasked(error);
    case Verdict::result_unavailable: return has_value ? nullptr : &result_unavailable;
    case Verdict::executed:
    case Verdict::replayed: break;
  }
  if (has_value) return nullptr;
  return error != nullptr ? &line_of_handler(*error) : &already_done;
}

std::int64_t whole_seconds(Duration duration) {
  return std::max<std::int64_t>(1, std::chrono::ceil<std::chrono::seconds>(duration).count());
}

std::string type_of(std::string_view name, const AnswerRules& rules) {
  return (rules.documentation.empty() ? std::string("urn:onceward:problem:") : rules.documentation + "#")
      .append(name);
}

Problem problem_of(const Line& line, Duration retry_after, const AnswerRules& rules) {
  Problem problem{
      line.status, {}, type_of(line.name, rules), std::string(line.title), std::string(line.detail)};
  if (line.retry)
    problem.retry_after_s =
        whole_seconds(retry_after.count() > 0 ? std::min(retry_after, rules.retry_after) : rules.retry_after);
  return problem;
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (auto& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

bool may_be_sent(const Header& header) {
  constexpr std::string_view letters = "abcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-.^_`|~";
  constexpr std::array<std::string_view, 11> own = {"connection",
                                                    "keep-alive",
                                                    "te",
                                                    "trailer",
                                                    "upgrade",
                                                    "transfer-encoding",
                                                    "date",
                                                    "content-length",
                                                    "set-cookie",
                                                    "proxy-connection",
                                                    "idempotency-replayed"};
  const auto name = lower(header.name);
  if (name.empty() || name.find_first_not_of(letters) != std::string::npos) return false;
  if (name.starts_with("proxy-") || std::find(own.begin(), own.end(), name) != own.end()) return false;
  return std::none_of(header.value.begin(), header.value.end(),
                      [](unsigned char c) { return (c < 0x20 && c != '\t') || c == 0x7F; });
}

std::string detail_of(const KeyHeader& bad) {
  switch (bad.fault.value_or(KeyFault::malformed)) {
    case KeyFault::missing:
      return "This operation needs the header Idempotency-Key with a key of the client's own for each "
             "request, best a UUID: Idempotency-Key: \"8e03978e-40d5-43e8-bc93-6894a57f9324\".";
    case KeyFault::repeated: return "Send one Idempotency-Key header with one key in it.";
    case KeyFault::empty: return "The header Idempotency-Key holds no key. Send a UUID in double quotes.";
    case KeyFault::too_long: return "The key is longer than this service takes. Send a UUID.";
    case KeyFault::unquoted: return "Put the key into double quotes: the header's value is a string.";
    case KeyFault::malformed: break;
  }
  return "The header's value is not one string of printable ASCII in double quotes, with \\\" and \\\\ the "
         "only escapes; it goes wrong at byte " +
         std::to_string(bad.offset) + ".";
}

}  // namespace

Problem problem_of(const KeyHeader& bad, const AnswerRules& rules) {
  const auto fault = bad.fault.value_or(KeyFault::malformed);
  auto name = "key-" + std::string(to_string(fault));
  std::replace(name.begin(), name.end(), '_', '-');
  const bool missing = fault == KeyFault::missing;
  return {400,
          {},
          type_of(name, rules),
          missing ? "Idempotency-Key is missing" : "Idempotency-Key is not usable",
          detail_of(bad)};
}

std::optional<Problem> problem_of(Verdict verdict, bool has_value, const Error* error, Duration retry_after,
                                  const AnswerRules& rules) {
  const auto* line = line_of(verdict, has_value, error);
  if (line == nullptr) return std::nullopt;
  return problem_of(*line, retry_after, rules);
}

std::string to_json(const Problem& problem) {
  return Value(Map{{"type", problem.type},
                   {"title", problem.title},
                   {"status", std::int64_t{problem.status}},
                   {"detail", problem.detail}})
      .to_json();
}

std::vector<Header> replayable(std::span<const Header> headers) {
  std::vector<Header> kept;
  std::copy_if(headers.begin(), headers.end(), std::back_inserter(kept), may_be_sent);
  return kept;
}

Response answer(const Problem& problem) {
  Response response{problem.status,
                    {{"Content-Type", "application/problem+json"}, {"Cache-Control", "no-store"}},
                    to_json(problem)};
  if (problem.retry_after_s)
    response.headers.push_back({"Retry-After", std::to_string(*problem.retry_after_s)});
  return response;
}

Response answer(const Outcome<Response>& outcome, const AnswerRules& rules) {
  if (const auto problem = problem_of(outcome, rules)) return answer(*problem);
  const auto& given = outcome.value();
  Response response{given.status, replayable(given.headers), given.body};
  if (rules.mark_replays && outcome.verdict() == Verdict::replayed)
    response.headers.push_back({"Idempotency-Replayed", "true"});
  return response;
}

}  // namespace onceward::http
