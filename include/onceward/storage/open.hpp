#pragma once
#include <onceward/storage/storage.hpp>

#include <string_view>

namespace onceward {

/// Opens the storage a URL names. In the library onceward::onceward, which links every storage built.
///   memory:[?shards=N]
///   sqlite:PATH[?shards=N&synchronous=full|normal&cache_kib=N&busy_ms=N&integrity=0|1]
///   redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE][?OPTIONS]
///   redis+unix:///PATH[?OPTIONS]
///   redis+sentinel://[USER:PASSWORD@]HOST[:PORT],.../MASTER[/DATABASE][?OPTIONS]
///   redis+cluster://[USER:PASSWORD@]HOST[:PORT],...[?OPTIONS]
///     OPTIONS of Redis: shards=N&prefix=TEXT&db=N&connect_ms=N&timeout_ms=N&create=0|1
///     &unsafe=refuse|warn|accept
///     A password alone is written ":PASSWORD@"; '@', ':', '/', '?', ',' and '%' in it percent-encoded.
///   mysql://[USER:PASSWORD@]HOST[:PORT]/DATABASE[?socket=PATH&shards=N&connect_ms=N&timeout_ms=N&readers=N]
/// Errors: invalid_argument (an unknown scheme or option; the message lists what is known), and those of the
/// storage itself. Passwords of a URL never appear in a message.
Result<std::unique_ptr<Storage>> open_storage(std::string_view url);

}  // namespace onceward
