#pragma once
#include <onceward/task/definition.hpp>

#include <functional>

namespace onceward::task_detail {

using ReportMistake =
    std::function<void(const SourcePlace& place, const char* code, std::string message, const char* hint)>;

/// Reports what a task asks for and cannot have: bounds, and parts that do not go together.
void check_task(const TaskDefinition& task, const ReportMistake& report);

}  // namespace onceward::task_detail
