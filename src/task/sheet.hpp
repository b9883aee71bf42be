#pragma once
#include <onceward/task/task_admin.hpp>

namespace onceward::task_detail {

/// What moves a sheet.
enum class SheetAct : std::uint8_t {
  edit,
  submit,
  approve,
  reject,
  schedule,
  put_online,
  pause,
  take_offline,
  archive
};
[[nodiscard]] std::string_view to_string(SheetAct act) noexcept;
/// Empty where the act is not defined from there.
[[nodiscard]] std::optional<Publication> next(Publication from, SheetAct act) noexcept;

/// "draft/<task>/<version>" in "<merchant>/drafts".
struct SheetRecord {
  TaskSheet sheet;
  std::string xml{};  ///< of the task as submitted: what is published, whatever becomes of its type
};
inline constexpr std::string_view sheet_prefix = "draft/";
inline constexpr std::string_view audit_prefix = "audit/";
/// Written by every act that changes what is online, so that of two at once one is refused.
inline constexpr std::string_view online_key = "online";
[[nodiscard]] std::string drafts_partition(std::string_view merchant);
[[nodiscard]] std::string sheet_key(std::string_view task, std::string_view version);
[[nodiscard]] std::string encode(const SheetRecord& record);
Result<SheetRecord> decode_sheet(const Record& record);
[[nodiscard]] std::string encode(const AuditLine& line);
Result<AuditLine> decode_audit(const Record& record);

}  // namespace onceward::task_detail
