#include <onceward/task/event.hpp>

#include <charconv>

namespace onceward {
namespace {

/// Takes the part after the last '/' off `text`.
std::optional<std::string_view> take_last(std::string_view& text) noexcept {
  const auto slash = text.rfind('/');
  if (slash == std::string_view::npos) return std::nullopt;
  const auto part = text.substr(slash + 1);
  text = text.substr(0, slash);
  return part;
}

std::optional<std::int64_t> number(const std::optional<std::string_view>& text) noexcept {
  if (!text) return std::nullopt;
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
  if (error != std::errc() || end != text->data() + text->size() || value < 1) return std::nullopt;
  return value;
}

}  // namespace

std::string to_run_key(const GrantKey& grant) {
  std::string key;
  key.reserve(grant.merchant.size() + grant.user.size() + grant.task.size() + grant.cycle.size() + 16);
  key.append(grant.merchant).append("/").append(grant.user).append("/").append(grant.task).append("/");
  key.append(grant.cycle).append("/").append(std::to_string(grant.stage)).append("/");
  key.append(std::to_string(grant.generation));
  return key;
}

std::optional<GrantKey> parse_run_key(std::string_view run_key) {
  const auto generation = number(take_last(run_key));
  const auto stage = number(take_last(run_key));
  const auto cycle = take_last(run_key);
  const auto task = take_last(run_key);
  const auto slash = run_key.find('/');
  if (!generation || !stage || !cycle || !task || slash == std::string_view::npos) return std::nullopt;
  return GrantKey{std::string(run_key.substr(0, slash)),
                  std::string(run_key.substr(slash + 1)),
                  std::string(*task),
                  std::string(*cycle),
                  *stage,
                  *generation};
}

}  // namespace onceward
