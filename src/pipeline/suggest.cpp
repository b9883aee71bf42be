#include "pipeline/suggest.hpp"

#include <algorithm>
#include <numeric>
#include <vector>

namespace onceward::pipeline_detail {
namespace {

constexpr std::size_t longest_word = 64;

/// Insertions, deletions and substitutions between two words (Levenshtein), by one row of the table.
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i + 1;
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t substituted = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({row[j] + 1, row[j + 1] + 1, substituted});
    }
  }
  return row.back();
}

}  // namespace

std::string did_you_mean(std::string_view word, std::span<const std::string_view> known) {
  if (word.size() > longest_word) return {};
  std::string_view nearest;
  std::size_t least = std::max<std::size_t>(2, word.size() / 3) + 1;
  for (const auto candidate : known) {
    if (candidate.size() > longest_word) continue;
    const std::size_t far = distance(word, candidate);
    if (far < least) {
      least = far;
      nearest = candidate;
    }
  }
  return nearest.empty() ? std::string() : "did you mean " + std::string(nearest) + "?";
}

}  // namespace onceward::pipeline_detail
