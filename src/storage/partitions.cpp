#include <onceward/storage/partitions.hpp>

#include <fmt/format.h>

namespace onceward {

Result<PartitionPage> list_partitions(Storage& storage, std::string_view cursor, std::size_t limit) {
  if (limit == 0 || limit > limits::page_records) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("a page of {} partitions; ask for 1 to {}", limit, limits::page_records));
  }
  auto* const lister = dynamic_cast<PartitionLister*>(&storage);
  if (lister == nullptr) return fail(ErrorCode::wrong_state, "this storage cannot list its partitions");
  return lister->partitions(cursor, limit);
}

}  // namespace onceward
