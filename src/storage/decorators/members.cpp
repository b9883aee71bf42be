#include "storage/decorators/members.hpp"

namespace onceward::storage_detail {
namespace {

constexpr std::size_t most_name_bytes = 64;

bool is_name(std::string_view name) {
  constexpr std::string_view letters = "abcdefghijklmnopqrstuvwxyz0123456789._-";
  return !name.empty() && name.size() <= most_name_bytes &&
         name.find_first_not_of(letters) == std::string_view::npos;
}

}  // namespace

Result<void> check_members(const std::vector<StorageMember>& members) {
  const auto refuse = [](std::string text) {
    return fail(ErrorCode::invalid_argument, "storages: " + std::move(text));
  };
  for (std::size_t i = 0; i < members.size(); ++i) {
    const auto& [name, storage] = members[i];
    if (!is_name(name))
      return refuse(fmt::format("the name \"{}\" is not of 1 to 64 letters of [a-z0-9._-]", name));
    if (storage == nullptr) return refuse(fmt::format("\"{}\" has no storage", name));
    if (storage->shard_count() != members.front().storage->shard_count()) {
      return refuse(fmt::format("\"{}\" has {} shards and \"{}\" {}; all need the same count",
                                members.front().name, members.front().storage->shard_count(), name,
                                storage->shard_count()));
    }
    for (std::size_t j = 0; j < i; ++j) {
      if (members[j].name == name) return refuse(fmt::format("the name \"{}\" comes twice", name));
      if (members[j].storage == storage)
        return refuse(fmt::format("\"{}\" and \"{}\" are the same storage", members[j].name, name));
    }
  }
  return {};
}

}  // namespace onceward::storage_detail
