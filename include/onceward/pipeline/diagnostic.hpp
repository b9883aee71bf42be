#pragma once
#include <onceward/core/error.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace onceward {

/// Where a definition stands in the text it was read from; 0 where it was made in code.
/// Two definitions are equal wherever they stand, so all places compare equal.
struct SourcePlace {
  int line = 0;    ///< from 1
  int column = 0;  ///< from 1, in bytes

  friend constexpr bool operator==(const SourcePlace&, const SourcePlace&) noexcept { return true; }
};

/// One mistake in a definition, with its place.
struct Diagnostic {
  std::string code;     ///< stable, such as "unknown-step"; docs/diagnostics.md lists them
  std::string message;  ///< what is wrong, in one sentence
  std::string hint;     ///< what to write instead, where that is known
  int line = 0;         ///< from 1; 0 where the text has no place for it
  int column = 0;       ///< from 1, in bytes
};

/// "campaign.xml:12:5: unknown-step: there is no step grant-point@1 (did you mean grant-points@1?)", a line
/// each.
[[nodiscard]] std::string describe(const std::vector<Diagnostic>& diagnostics, std::string_view file);

}  // namespace onceward
