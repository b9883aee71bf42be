#pragma once
#include <onceward/storage/storage.hpp>

#include <string_view>

namespace onceward {

/// Opens the storage a URL names. In the library onceward::onceward, which links every storage built.
///   memory:[?shards=N]
///   sqlite:PATH[?shards=N&synchronous=full|normal&cache_kib=N&busy_ms=N]
/// Errors: invalid_argument (an unknown scheme or option; the message lists what is known), and those of the
/// storage itself. Passwords of a URL never appear in a message.
Result<std::unique_ptr<Storage>> open_storage(std::string_view url);

}  // namespace onceward
