#pragma once
#include <onceward/storage/storage.hpp>

#include <memory>
#include <string>

namespace onceward {

/// A storage under the name by which a decorator of several storages knows it for good: a partition's place
/// follows from the names, and each storage remembers its own. Names: [a-z0-9._-]{1,64}.
struct StorageMember {
  std::string name;
  std::shared_ptr<Storage> storage;
};

}  // namespace onceward
