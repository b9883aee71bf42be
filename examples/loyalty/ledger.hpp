#pragma once
#include "business.hpp"

#include <string>

namespace loyalty {

/// Writes what the services have granted, "user,task,cycle,stage,step,value" and a line each, sorted by
/// these. The file appears whole or stays as it was: it is written beside its name (".partial"), synced and
/// renamed. Errors: unavailable, exhausted; the message names the file.
onceward::Result<void> write_ledger(Business& business, const std::string& path, CrashPoints& points);

}  // namespace loyalty
