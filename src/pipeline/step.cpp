#include <onceward/expr/functions.hpp>
#include <onceward/pipeline/step.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <limits>
#include <stdexcept>

namespace onceward {
namespace {

constexpr std::size_t most_name_bytes = 64;
constexpr std::size_t most_fields = 64;

std::optional<bool> as(const Value& value, const bool*) {
  return value.boolean() ? std::optional(*value.boolean()) : std::nullopt;
}
std::optional<std::int64_t> as(const Value& value, const std::int64_t*) {
  return value.integer() ? std::optional(*value.integer()) : std::nullopt;
}
std::optional<int> as(const Value& value, const int*) {
  const auto* number = value.integer();
  if (number == nullptr || *number < std::numeric_limits<int>::min() ||
      *number > std::numeric_limits<int>::max()) {
    return std::nullopt;
  }
  return static_cast<int>(*number);
}
std::optional<double> as(const Value& value, const double*) {
  return value.real() ? std::optional(*value.real()) : std::nullopt;
}
std::optional<std::string> as(const Value& value, const std::string*) {
  return value.string() ? std::optional(*value.string()) : std::nullopt;
}

bool is_step_name(std::string_view name) noexcept {
  const auto at = name.find('@');
  if (at == std::string_view::npos || at == 0 || at + 1 == name.size() || name.size() > most_name_bytes)
    return false;
  const auto word = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; };
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  return std::all_of(name.begin(), name.begin() + static_cast<std::ptrdiff_t>(at), word) &&
         std::all_of(name.begin() + static_cast<std::ptrdiff_t>(at) + 1, name.end(), digit);
}

}  // namespace

template <class T>
T StepContext::arg(std::string_view name) const {
  const auto* value = arguments_->find(name);
  const auto content = value == nullptr ? std::nullopt : as(*value, static_cast<const T*>(nullptr));
  if (content) return *content;
  throw std::invalid_argument(
      fmt::format("step \"{}\": the argument \"{}\" is {}, not what the step asks for", step_, name,
                  value == nullptr ? "missing" : to_string(value->kind())));
}

template <class T>
std::optional<T> StepContext::optional_arg(std::string_view name) const {
  const auto* value = arguments_->find(name);
  if (value == nullptr || value->is_null()) return std::nullopt;
  return arg<T>(name);
}

template bool StepContext::arg(std::string_view) const;
template int StepContext::arg(std::string_view) const;
template std::int64_t StepContext::arg(std::string_view) const;
template double StepContext::arg(std::string_view) const;
template std::string StepContext::arg(std::string_view) const;
template std::optional<bool> StepContext::optional_arg(std::string_view) const;
template std::optional<int> StepContext::optional_arg(std::string_view) const;
template std::optional<std::int64_t> StepContext::optional_arg(std::string_view) const;
template std::optional<double> StepContext::optional_arg(std::string_view) const;
template std::optional<std::string> StepContext::optional_arg(std::string_view) const;

void Step::run_many(std::span<StepContext> steps, std::span<StepOutcome> outcomes) {
  for (std::size_t i = 0; i < steps.size(); ++i) {
    try {
      outcomes[i] = run(steps[i]);
    } catch (const std::exception& exception) {
      // The one thing known is that nothing is known: the same token is sent again.
      outcomes[i] = Unknown{exception.what()};
    } catch (...) {
      outcomes[i] = Unknown{"an exception that is no std::exception"};
    }
  }
}

StepOutcome Step::undo(StepContext& step) {
  return Reject{"no_undo", fmt::format("the step \"{}\" implements no undo", step.step_id())};
}

Verification Step::verify(StepContext&) { return Unknown{"the step cannot verify"}; }

StepRegistry::StepRegistry() : functions_(std::make_shared<const Functions>()) {}

void StepRegistry::offer(const Functions& functions) {
  functions_ = std::make_shared<const Functions>(functions);
}

Result<void> StepRegistry::add(std::unique_ptr<Step> step) {
  StepSpec spec = step->spec();
  if (!is_step_name(spec.name)) {
    return fail(
        ErrorCode::invalid_argument,
        fmt::format("\"{}\" is no step name; write lower-case words, '@' and a version: grant-points@1",
                    spec.name));
  }
  if (spec.arguments.size() > most_fields || spec.results.size() > most_fields) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("step \"{}\" has more than {} fields", spec.name, most_fields));
  }
  if (find(spec.name) != nullptr) {
    return fail(ErrorCode::conflict, fmt::format("there is a step \"{}\" already", spec.name));
  }
  entries_.push_back(std::make_unique<Entry>(Entry{std::move(spec), std::move(step)}));
  return {};
}

const StepRegistry::Entry* StepRegistry::find(std::string_view name) const noexcept {
  const auto found = std::find_if(entries_.begin(), entries_.end(),
                                  [&](const auto& entry) { return entry->spec.name == name; });
  return found == entries_.end() ? nullptr : found->get();
}

std::vector<std::string_view> StepRegistry::names() const {
  std::vector<std::string_view> names;
  for (const auto& entry : entries_) names.push_back(entry->spec.name);
  return names;
}

}  // namespace onceward
