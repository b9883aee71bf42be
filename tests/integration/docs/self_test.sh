#!/usr/bin/env bash
# Proves that blocks.sh sees each kind of breach, and writes what a page shows, byte for byte.
set -euo pipefail
blocks=$(cd "$(dirname "$0")" && pwd)/blocks.sh
work=$(mktemp -d "${TMPDIR:-/tmp}/onceward-docs-XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work"
failures=0
fail() { echo "FAILED: $*" >&2; failures=$((failures + 1)); }
page() { printf '%s\n' "$@" >page.md; }
mkdir frames
printf '%s\n' 'int main() {' '#include "part.inc"' '}' >frames/part.cpp

sees() { # sees WORDS LINE...: a page of these lines has one breach, told in these words
  page "${@:2}"
  local status=0
  bash "$blocks" check frames page.md >out 2>&1 || status=$?
  [ "$status" -eq 1 ] || fail "exit code $status for: $1"
  grep -qF -- "$1" out || fail "not seen: $1"
  grep -q ' 1 breaches' out || fail "more than the one breach for: $1"
}

right=('Text' '```cpp' '// file: whole.cpp' 'int main() { return 0; }  // "%s" \n' '' '```' '```c++' 'f(1);' '```'
  '<!-- fragment: part -->' '```cpp' 'int one = 1;' '```' '```json' '{}' '```' '```' 'plain' '```'
  '```` ```cpp ```` in a sentence')
page "${right[@]}"
bash "$blocks" check frames page.md >out || { cat out; fail "the right page does not pass"; }
[ "$(bash "$blocks" write code page.md | xargs)" = 'part.inc whole.cpp' ] || fail "other names than the page's"
printf '%s\n' 'int main() { return 0; }  // "%s" \n' '' | cmp -s - <(tail -n +2 code/whole.cpp) || fail "whole.cpp"
[ "$(tail -n +2 code/part.inc)" = 'int one = 1;' ] || fail "part.inc"
touch -d '2001-01-01' code/whole.cpp
bash "$blocks" write code page.md >/dev/null
[ "$(date -r code/whole.cpp +%Y)" = 2001 ] || fail "a block that has not changed was written again"

sees 'page.md:2: uncompiled C++' 'Text' '```cpp' 'f(1);' '```'
sees 'page.md:1: uncompiled C++' '```cpp' '' '// file: late.cpp' '```'
sees 'page.md:1: uncompiled C++' '```cpp' '// file: ../outside.cpp' '```'
for language in C++ cc hpp cxx 'cpp fragment' 'c++ x' CPP; do
  sees "not with $language" "\`\`\`$language" 'f(1);' '```'
done
sees 'page.md:1: uncompiled C++' '~~~cpp' 'f(1);' '~~~'
sees 'begins at the first column' '- item' '  ```cpp' '// file: a.cpp' '  ```'
sees 'the block has no end' '```cpp' '// file: a.cpp'
sees 'a.cpp is a block of page.md:1 already' '```cpp' '// file: a.cpp' '```' '```cpp' '// file: a.cpp' '```'
sees 'includes this fragment' '<!-- fragment: other -->' '```cpp' 'f(1);' '```'
sees 'is no ```cpp block' '<!-- fragment: part -->' '```json' '{}' '```'
sees 'right above its block' '<!-- fragment: part -->' 'Text'
[ "$failures" -eq 0 ] && echo 'every breach is seen'
