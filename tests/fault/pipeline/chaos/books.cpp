#include "books.hpp"

#include <fmt/format.h>

#include <charconv>
#include <stdexcept>

namespace chaos {
namespace {

std::int64_t number(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size())
    throw std::invalid_argument("no number: " + std::string(text));
  return value;
}

}  // namespace

std::string Request::line() const {
  return fmt::format("{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\n", undo ? "undo" : "do", token, done_token, run, path,
                     amount, reference, reject ? 1 : 0);
}

Request Request::parse(std::string_view line) {
  std::vector<std::string> words{""};
  for (const char c : line) {
    if (c == '\t')
      words.emplace_back();
    else
      words.back() += c;
  }
  if (words.size() != 8 || (words[0] != "do" && words[0] != "undo") || words[1].empty())
    throw std::invalid_argument("no request: " + std::string(line));
  return {words[0] == "undo", words[1],         words[2],         words[3],
          words[4],           number(words[5]), number(words[6]), number(words[7]) != 0};
}

Answer Books::complain(const Request& request, std::string_view what) {
  complaints_.push_back(
      fmt::format("{} of {} {}: {}", request.undo ? "undo" : "do", request.run, request.path, what));
  return {Answer::Kind::wrong};
}

Answer Books::add(const Request& request, bool nothing) {
  const auto receipt = static_cast<std::int64_t>(effects_.size()) + 1;
  by_token_.emplace(request.token, effects_.size());
  effects_.push_back({request.undo, nothing, request.run, request.path, request.token, request.amount,
                      request.reference, receipt});
  return {Answer::Kind::ok, receipt};
}

Answer Books::take(const Request& request) {
  if (const auto known = by_token_.find(request.token); known != by_token_.end()) {
    const auto& effect = effects_[known->second];
    if (effect.undo != request.undo || effect.run != request.run || effect.path != request.path ||
        (!request.undo && (effect.amount != request.amount || effect.reference != request.reference)))
      return complain(request, "its token came before with other arguments");
    ++repeated_;
    return {Answer::Kind::ok, effect.receipt};
  }
  if (!request.undo) {
    if (closed_.contains(request.token)) return {Answer::Kind::rejected};  // it comes late
    if (request.reject) return {Answer::Kind::rejected};
    return add(request, false);
  }
  const auto done = by_token_.find(request.done_token);
  if (done == by_token_.end()) {
    if (request.reference != 0) return complain(request, "a receipt of an effect that never took place");
    closed_.insert(request.done_token);
    return add(request, true);
  }
  const auto& effect = effects_[done->second];
  if (effect.undo || effect.run != request.run || effect.path != request.path)
    return complain(request, "what is to be undone is of another step");
  if (request.reference != 0 && request.reference != effect.receipt)
    return complain(request, "the step's stored result is not the downstream's first answer");
  return add(request, false);
}

}  // namespace chaos
