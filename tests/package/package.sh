#!/usr/bin/env bash
# package.sh CMAKE BUILD_DIR GENERATOR CXX LAUNCHER WERROR: the library as its users get it, installed to a prefix and
# found by find_package, and as a part of their own tree.
set -euo pipefail
cmake=$1 build=$2 generator=$3 cxx=$4 launcher=$5 werror=$6
here=$(cd "$(dirname "$0")" && pwd)
checkout=$(cd "$here/../.." && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/onceward-package-XXXXXX")
trap 'rm -rf "$work"' EXIT
fail() { echo "FAILED: $*" >&2; exit 1; }

"$cmake" --install "$build" --prefix "$work/prefix" >"$work/install.log" 2>&1 || { cat "$work/install.log"; fail "install"; }
# What was installed must stand on its own: moved elsewhere, it still works.
mv "$work/prefix" "$work/moved"
package=$(dirname "$(find "$work/moved" -name onceward-config.cmake)")
if grep -rniE 'boost' "$package"; then fail "the package names Boost"; fi
if grep -rnF -e "$checkout" -e "$build" -e "$work" "$package"; then fail "the package names a path of the build"; fi
if grep -rn 'onceward_warnings\|onceward_boost' "$package" | grep -v 'BUILD_INTERFACE'; then fail "a private target leaks"; fi
(cd "$checkout/include" && find onceward -name '*.hpp' | sort) >"$work/written"
(cd "$work/moved/include" && find onceward -name '*.hpp' | sort) >"$work/installed"
diff "$work/written" "$work/installed" || fail "the installed headers are not those of the repository"

consume() { # NAME SOURCE ARGUMENT... -- PROGRAM ARGUMENT...
  local name=$1 source=$2
  shift 2
  local settings=()
  while [ "$1" != -- ]; do settings+=("$1"); shift; done
  shift
  { "$cmake" -S "$source" -B "$work/$name" -G "$generator" -DCMAKE_BUILD_TYPE=Release -DCMAKE_CXX_COMPILER="$cxx" \
      -DCMAKE_CXX_COMPILER_LAUNCHER="$launcher" "${settings[@]}" &&
    "$cmake" --build "$work/$name" --target consumer -j 2; } >"$work/$name.log" 2>&1 ||
    { tail -n 40 "$work/$name.log"; fail "$name: configure or build"; }
  "$work/$name/consumer" "$@" || fail "$name: the program ended with $?"
}
consume core "$here/core" -DCMAKE_PREFIX_PATH="$work/moved" --
consume onceward "$here/onceward" -DCMAKE_PREFIX_PATH="$work/moved" -- "$work/rewards.db"
# The same options as the build beside it, so that a compiler cache knows the objects.
consume subdirectory "$here/subdirectory" -DONCEWARD_CHECKOUT="$checkout" -DONCEWARD_WERROR="$werror" --
echo "the package and the subdirectory work"
