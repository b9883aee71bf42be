#!/usr/bin/env bash
# Proves that tidy.sh can fail: a small tree with one violation of each kind, and each must be named.
set -euo pipefail
tidy=$(cd "$(dirname "$0")" && pwd)/tidy.sh
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
mkdir -p "$tree/include/onceward/core" "$tree/include/onceward/expr" "$tree/src/storage" "$tree/src/task"
printf '#pragma once\n#include <onceward/storage/storage.hpp>\n' > "$tree/include/onceward/core/wrong_room.hpp"
printf '#pragma once\n#include <fmt/format.h>\n' > "$tree/include/onceward/core/vendor.hpp"
printf '#pragma once\n#include <boost/pfr/core.hpp>\n' > "$tree/include/onceward/expr/reflect.hpp"
printf 'int once;\n' > "$tree/include/onceward/core/no_pragma.hpp"
printf '// %s\n' "$(printf 'x%.0s' {1..140})" > "$tree/src/storage/long_line.cpp"
printf '// %s: later\n' TO''DO > "$tree/src/storage/unfinished.cpp"
printf 'const char* path = "/home/somebody/file";\n' > "$tree/src/storage/path.cpp"
printf 'void f() { try { g(); } catch (...) {} }\n' > "$tree/src/storage/swallow.cpp"
printf '#include "idempotency/machine.hpp"\n' > "$tree/src/task/wrong_room.cpp"

output=$(bash "$tidy" "$tree") && { echo "tidy.sh passed a tree full of violations"; exit 1; }
for named in core/wrong_room.hpp:2 core/vendor.hpp:2 core/no_pragma.hpp:1 long_line.cpp:1 unfinished.cpp:1 path.cpp:1 \
             swallow.cpp:1 task/wrong_room.cpp:1; do
  grep -q "violation: .*$named" <<<"$output" || { echo "not named: $named"; echo "$output"; exit 1; }
done
grep -q 'violation: .*reflect.hpp' <<<"$output" && { echo "reflect.hpp may include Boost.PFR"; exit 1; }
echo "every kind of violation is named"
