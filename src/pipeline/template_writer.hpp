#pragma once
#include "pipeline/template_record.hpp"

#include <functional>

namespace onceward::pipeline_detail {

/// Errors: invalid_argument, where an act has no actor or no reason.
Result<void> check_by(const Operator& by);

/// What an act does to a template as it was found.
struct TemplateMove {
  TemplateRecord record;
  TemplateAct act;
  std::vector<Operation> more{};  ///< in the same batch
};
/// Pure. Empty: the template is as it was asked for already. Judged anew on every record that is found.
using TemplateJudge =
    std::function<Result<std::optional<TemplateMove>>(const std::optional<TemplateRecord>&)>;

/// One act: reads the template, lets `judge` decide, and writes what it decided as one batch that expects
/// what was read. Whether it was applied is found out also where an answer is lost. What it is given outlives
/// it.
class TemplateWriter {
 public:
  TemplateWriter(Storage& storage, Journal* journal, std::string_view partition, std::string_view id,
                 const Operator& by);
  /// Errors: those of `judge` and of the storage; exhausted (too many templates); conflict (others write it
  /// all the time).
  Result<void> write(const TemplateJudge& judge);

 private:
  [[nodiscard]] Batch batch_of(TemplateMove& move, Revision revision, Timestamp now) const;
  void tell(const TemplateAct& act) const;

  Storage& storage_;
  Journal* journal_;
  std::string_view partition_;
  std::string_view id_;
  std::string key_;
  const Operator& by_;
  std::string sign_;  ///< tells this act's line from any other
};

}  // namespace onceward::pipeline_detail
