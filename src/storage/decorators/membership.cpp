#include "storage/decorators/membership.hpp"

#include "storage/decorators/members.hpp"

#include <fmt/format.h>

namespace onceward::storage_detail {
namespace {

enum class Memory { none, fresh, settled };

/// Readable JSON, always written the same way, so that it is compared as text.
std::string memory_text(const std::vector<StorageMember>& members, std::string_view self, Memory memory) {
  std::string names;
  for (const auto& member : members) names += fmt::format("{}\"{}\"", names.empty() ? "" : ",", member.name);
  return fmt::format(R"({{"state":"{}","count":{},"self":"{}","members":[{}]}})",
                     memory == Memory::settled ? "settled" : "new", members.size(), self, names);
}

/// What a member remembers of this set, or why it is not this set.
Result<Memory> memory_of(const std::vector<StorageMember>& members, const StorageMember& member,
                         const std::optional<Record>& record) {
  if (!record) return Memory::none;
  if (record->value == memory_text(members, member.name, Memory::settled)) return Memory::settled;
  if (record->value == memory_text(members, member.name, Memory::fresh)) return Memory::fresh;
  return fail(ErrorCode::invalid_argument,
              fmt::format("storage \"{}\" belongs to another set: it remembers {}, it was opened as {}; name "
                          "the members as they were, none more and none less",
                          member.name, record->value, memory_text(members, member.name, Memory::settled)));
}

Result<std::optional<Record>> remembered(const StorageMember& member) {
  auto record = read_one(*member.storage, members_partition, members_key);
  if (!record) return fail(of_member(member.name, std::move(record).error()));
  return record;
}

/// Writes over what was read; another process that is a step ahead is met again by the next look.
Result<void> remember(const std::vector<StorageMember>& members, const StorageMember& member,
                      const std::optional<Record>& known, Memory memory) {
  auto text = memory_text(members, member.name, memory);
  const std::string key(members_key);
  const auto answer =
      commit_one(*member.storage, {std::string(members_partition),
                                   {known ? Operation::replace(key, known->revision, std::move(text))
                                          : Operation::insert(key, std::move(text))}});
  if (!answer) return fail(of_member(member.name, answer.error()));
  return {};
}

}  // namespace

Result<void> settle_membership(const std::vector<StorageMember>& members) {
  constexpr int most_rounds = 8;
  for (int round = 0; round < most_rounds; ++round) {
    std::vector<std::optional<Record>> records;
    std::vector<Memory> memories;
    for (const auto& member : members) {
      auto record = remembered(member);
      if (!record) return fail(std::move(record).error());
      const auto memory = memory_of(members, member, *record);
      if (!memory) return fail(memory.error());
      records.push_back(*std::move(record));
      memories.push_back(*memory);
    }
    const auto has = [&](Memory wanted) {
      return std::find(memories.begin(), memories.end(), wanted) != memories.end();
    };
    if (!has(Memory::none) && !has(Memory::fresh)) return {};
    for (std::size_t i = 0; i < members.size(); ++i) {
      if (memories[i] == Memory::none && has(Memory::settled)) {
        return fail(ErrorCode::corrupt,
                    fmt::format("storage \"{}\" is empty, but the others know it as a member: restore it, or "
                                "see that its address is right",
                                members[i].name));
      }
      const auto next = has(Memory::none) ? Memory::fresh : Memory::settled;
      const bool behind = next == Memory::fresh ? memories[i] == Memory::none : memories[i] == Memory::fresh;
      if (!behind) continue;
      if (auto written = remember(members, members[i], records[i], next); !written) return written;
    }
  }
  return fail(ErrorCode::conflict, "the members of the sharded storage change all the time; open it again");
}

}  // namespace onceward::storage_detail
