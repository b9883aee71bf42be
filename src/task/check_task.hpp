#pragma once
#include <onceward/task/definition.hpp>

#include <functional>

namespace onceward::task_detail {

/// Of a merchant, a task or a version.
[[nodiscard]] bool is_id(std::string_view text) noexcept;
inline constexpr std::string_view id_hint = "use 1 to 64 of a-z, 0-9, '-' and '_'";

using ReportMistake =
    std::function<void(const SourcePlace& place, const char* code, std::string message, const char* hint)>;

/// Reports what a task asks for and cannot have: bounds, and parts that do not go together.
void check_task(const TaskDefinition& task, const ReportMistake& report);

}  // namespace onceward::task_detail
