#pragma once
#include "expr/kinds.hpp"
#include "pipeline/compiler.hpp"

#include <algorithm>

// The bounds of a definition, and what its words look like.
namespace onceward::pipeline_detail {

inline constexpr std::size_t most_constructs = 1000;  // of one pipeline
inline constexpr std::size_t most_nodes = 10'000;     // with those of called pipelines
inline constexpr std::size_t most_plan_depth = 100;   // with those of called pipelines
inline constexpr std::size_t most_inputs = 64;
inline constexpr std::size_t most_depth = 24;  // below limits::xml_depth, so that every plan has an XML form
inline constexpr std::size_t most_rules = 16;
inline constexpr int most_attempts = 1000;
inline constexpr int most_priority = 9;
inline constexpr double most_factor = 10;
inline constexpr std::string_view id_hint = "use 1 to 64 of a-z, 0-9, '-' and '_'";

inline bool is_id(std::string_view id) noexcept {
  return !id.empty() && id.size() <= 64 && std::all_of(id.begin(), id.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  });
}

inline bool is_name(std::string_view name) noexcept {
  const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
  return !name.empty() && name.size() <= 64 && letter(name.front()) &&
         std::all_of(name.begin(), name.end(), [&](char c) { return letter(c) || (c >= '0' && c <= '9'); });
}

/// Names that mean something to every expression.
inline bool is_taken(std::string_view name) noexcept { return name == "steps" || name == "error"; }

inline Type& steps_of(Type& names) { return names.members.at("steps"); }
/// Takes over the names that `from` has more; they may be null where `maybe` is set.
void take_new(Type& into, Type& from, bool maybe);

}  // namespace onceward::pipeline_detail
