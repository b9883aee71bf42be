#pragma once
#include <onceward/storage/partitions.hpp>

#include "support/catch.hpp"

#include <set>
#include <string>

/// Makes this many partitions and walks over their names; each must be named.
inline void check_partition_walk(onceward::Storage& storage, std::size_t count) {
  std::set<std::string> made;
  for (std::size_t i = 0; i < count;) {
    std::vector<onceward::Batch> span;
    for (; i < count && span.size() < 500; ++i) {
      auto name = "merchant/" + std::to_string(i * 7919) + "/:keys:{" + std::to_string(i) + "}";
      span.push_back({name, {onceward::Operation::insert("k", "v"), onceward::Operation::insert("l", "v")}});
      made.insert(std::move(name));
    }
    REQUIRE(storage.commit(span).has_value());
  }
  std::set<std::string> named;
  std::string cursor;
  std::size_t pages = 0;
  do {
    const auto page = onceward::list_partitions(storage, cursor, 100);
    REQUIRE(page.has_value());
    named.insert(page->partitions.begin(), page->partitions.end());
    cursor = page->cursor;
    REQUIRE(++pages < 10 * count);
  } while (!cursor.empty());
  CHECK(named == made);
  CHECK(pages >= count / 200);
  CHECK_FALSE(onceward::list_partitions(storage, {}, 0).has_value());
}
