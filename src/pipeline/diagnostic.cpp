#include <onceward/pipeline/diagnostic.hpp>

#include <fmt/format.h>

#include <iterator>

namespace onceward {

std::string describe(const std::vector<Diagnostic>& diagnostics, std::string_view file) {
  std::string text;
  for (const auto& diagnostic : diagnostics) {
    if (!text.empty()) text += '\n';
    text += file.empty() ? "definition" : file;
    if (diagnostic.line > 0)
      fmt::format_to(std::back_inserter(text), ":{}:{}", diagnostic.line, diagnostic.column);
    fmt::format_to(std::back_inserter(text), ": {}: {}", diagnostic.code, diagnostic.message);
    if (!diagnostic.hint.empty()) fmt::format_to(std::back_inserter(text), " ({})", diagnostic.hint);
  }
  return text;
}

}  // namespace onceward
