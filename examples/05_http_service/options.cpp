#include "options.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace payments {
namespace {

using onceward::ErrorCode;
using onceward::fail;
using onceward::Result;

Result<int> whole_number(std::string_view option, std::string_view text, int least, int most) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < least || value > most) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("{} takes a whole number from {} to {}, not \"{}\"", option, least, most, text));
  }
  return value;
}

Result<void> set_option(Options& options, std::string_view name, std::string_view value) {
  const auto number = [&](int least, int most, auto& out) -> Result<void> {
    const auto read = whole_number(name, value, least, most);
    if (!read) return fail(ErrorCode::invalid_argument, read.error().message);
    out = std::remove_reference_t<decltype(out)>(*read);
    return {};
  };
  if (name == "--port") return number(0, 65535, options.port);
  if (name == "--lease-ms") return number(50, 3'600'000, options.lease);
  if (name == "--slow-ms") return number(0, 3'600'000, options.slow);
  if (name == "--threads") return number(1, 256, options.threads);
  if (value.empty()) return fail(ErrorCode::invalid_argument, fmt::format("{} has no value", name));
  if (name == "--host") return options.host = value, Result<void>();
  if (name == "--storage") return options.storage = value, Result<void>();
  if (name == "--ledger") return options.ledger = value, Result<void>();
  if (name == "--slow-at" && (value == "before" || value == "after")) {
    options.slow_at = value == "before" ? SlowAt::before : SlowAt::after;
    return {};
  }
  if (name == "--slow-at") return fail(ErrorCode::invalid_argument, "--slow-at takes before or after");
  return fail(ErrorCode::invalid_argument,
              fmt::format("there is no option \"{}\"; see 05_http_service --help", name));
}

}  // namespace

Result<Options> parse_options(std::span<const char* const> arguments) {
  Options options;
  options.help = std::any_of(arguments.begin(), arguments.end(), [](std::string_view argument) {
    return argument == "--help" || argument == "-h";
  });
  if (options.help) return options;
  for (std::size_t i = 0; i < arguments.size(); i += 2) {
    const std::string_view value = i + 1 < arguments.size() ? arguments[i + 1] : "";
    if (auto set = set_option(options, arguments[i], value); !set)
      return fail(set.error().code, set.error().message);
  }
  return options;
}

std::string help_text() {
  return R"(A payment service: POST /payments charges an account once for its Idempotency-Key, however often.

  05_http_service [--port N] [--host NAME] [--storage URL] [--ledger FILE.db] [--lease-ms N]
                  [--threads N] [--slow-ms N [--slow-at before|after]]

  --port N          0: any free one; the line "listening on ..." names it   (8080)
  --host NAME       (127.0.0.1)
  --storage URL     where keys are claimed: sqlite:FILE, redis://..., mysql://..., memory:
                    (sqlite:payments_guard.db)
  --ledger FILE.db  the business's own database of accounts and charges   (payments.db)
  --lease-ms N      after so long the request of a service that died may run again   (30000)
  --threads N       1 to 256 requests at a time   (16)
  --slow-ms N       for tests: a charge pauses so long, --slow-at before it is written or after it (0, before)

Try it, twice: one charge, and the same response, marked Idempotency-Replayed.
  curl -i localhost:8080/payments -H 'Idempotency-Key: "8e03978e-40d5"' \
       -d '{"merchant":"tea","account":"ann","pence":450}'
Ctrl-C or SIGTERM lets requests end and stops.
)";
}

}  // namespace payments
