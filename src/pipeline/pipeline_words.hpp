#pragma once
#include <array>
#include <string_view>

// Words of the XML form, each by the place of what it stands for.
namespace onceward::pipeline_detail {

inline constexpr std::array<std::string_view, 7> kind_words = {"null",   "bool", "int", "double",
                                                               "string", "list", "map"};
/// The elements that are constructs, by the place of their kind.
inline constexpr std::array<std::string_view, 12> construct_words = {
    "step", "sequence", "parallel", "choose", "foreach", "try",
    "call", "wait",     "await",    "set",    "result",  "fail"};
inline constexpr std::array<std::string_view, 3> join_words = {"all", "any", "quorum"};
inline constexpr std::array<std::string_view, 2> on_fail_words = {"cancel", "wait"};
inline constexpr std::array<std::string_view, 2> recover_words = {"forward", "backward"};

}  // namespace onceward::pipeline_detail
