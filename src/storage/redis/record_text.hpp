#pragma once
#include <onceward/storage/record.hpp>

#include <string>
#include <string_view>

namespace onceward::redis::detail {

/// "<revision> <due|-> <expires|-> <value>", as the scripts write it; nothing where it is something else.
std::optional<Record> parse_record(std::string_view key, std::string_view text);

/// "<n>:<partition>:<key>": how the sorted sets and the record keys name a record.
void append_record_id(std::string& out, std::string_view partition, std::string_view key);
/// Partition and key; nothing where it is something else.
std::optional<std::pair<std::string_view, std::string_view>> parse_record_id(std::string_view id);

}  // namespace onceward::redis::detail
