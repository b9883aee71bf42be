#pragma once
#include <onceward/pipeline/plan.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace onceward {

/// One difference between two versions of a pipeline.
struct TemplateChange {
  enum class Kind : std::uint8_t {
    added_step,
    removed_step,
    renamed_step,  ///< one removed and one added that do the same: `before` and `after` are their paths
    changed_use,   ///< another step under the same path, and so under the same token
    changed_key,
    changed_serial_by,
    changed_item_key,
  };
  Kind kind{};
  std::string path{};  ///< of the construct, without item keys ("each[]/points"); empty: of the pipeline
  std::string before{};
  std::string after{};
  /// Tokens of the same work are others than before: what was granted under the old ones is granted again
  /// where the work is started again.
  bool changes_tokens = false;

  friend bool operator==(const TemplateChange&, const TemplateChange&) = default;
};
/// "WARNING tokens change: the step points is now grant: ...", one line.
[[nodiscard]] std::string describe(const TemplateChange& change);
/// What `after` does otherwise than `before`, in the order of the paths. Pure.
[[nodiscard]] std::vector<TemplateChange> difference(const Plan& before, const Plan& after);

}  // namespace onceward
