#!/usr/bin/env bash
# package.sh SOURCE BUILD COMPILER: installs the build to a folder of its own, and consumes it as users do.
set -euo pipefail
source=$1 build=$2 compiler=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cmake --install "$build" --prefix "$work/prefix" > "$work/log" 2>&1 || { cat "$work/log"; exit 1; }
if grep -i boost "$work"/prefix/lib*/cmake/onceward/*.cmake "$work"/prefix/lib*/*/cmake/onceward/*.cmake 2>/dev/null; then
  echo "the exported targets name Boost"
  exit 1
fi

consume() { # name, component, further options
  local name=$1 component=$2
  shift 2
  mkdir -p "$work/$name"
  cp "$source/tests/package/consumer.cmake" "$work/$name/CMakeLists.txt"
  cmake -S "$work/$name" -B "$work/$name/build" -DCMAKE_CXX_COMPILER="$compiler" -DCOMPONENT="$component" \
    -DCONSUMER_SOURCE="$source/tests/package/consumer.cpp" -DCMAKE_BUILD_TYPE=Debug "$@" > "$work/log" 2>&1 &&
    cmake --build "$work/$name/build" -j 2 >> "$work/log" 2>&1 || { tail -n 40 "$work/log"; exit 1; }
  (cd "$work/$name" && ./build/consumer)
  echo "$name: ok"
}
consume installed-core core -DCMAKE_PREFIX_PATH="$work/prefix"
consume installed-sqlite onceward -DCMAKE_PREFIX_PATH="$work/prefix"
consume subdirectory onceward -DONCEWARD_SOURCE="$source"
