#!/usr/bin/env bash
# House rules as a test: tidy.sh FOLDER checks the tree below it and names every violation. Exit 1 where there is one.
set -uo pipefail
cd "${1:-$(dirname "$0")/../..}" || exit 2
violations=0
violation() { echo "violation: $*"; violations=$((violations + 1)); }

# Which rooms a room may include, itself aside: docs/architecture.md draws it.
declare -A may=(
  [core]="" [expr]="core" [storage]="core" [idempotency]="core expr storage"
  [pipeline]="core expr storage idempotency journal" [task]="core expr storage pipeline config journal"
  [config]="core storage" [cache]="core storage" [journal]="core" [testing]="core storage"
  [console]="core expr storage idempotency pipeline task config cache journal"
)
for room in "${!may[@]}"; do
  for folder in "include/onceward/$room" "src/$room"; do
    [ -d "$folder" ] || continue
    while IFS=: read -r file line text; do
      included=$(sed -E 's/.*#include *[<"](onceward\/)?([a-z]+)\/.*/\2/' <<<"$text")
      [ -n "${may[$included]+known}" ] || continue
      [ "$included" = "$room" ] && continue
      case " ${may[$room]} " in *" $included "*) ;; *) violation "$file:$line: room $room may not include room $included" ;; esac
    done < <(grep -rnE '#include *[<"](onceward/)?[a-z]+/' "$folder" --include='*.hpp' --include='*.cpp')
  done
done

# Vendor headers stay in src; Boost.PFR is what reflection is made of.
while IFS=: read -r file line text; do
  [ "$file" = include/onceward/expr/reflect.hpp ] && grep -q 'boost/pfr/core.hpp' <<<"$text" && continue
  violation "$file:$line: a vendor header in a public one:$text"
done < <(grep -rnE '#include *[<"](hiredis|SQLiteCpp|sqlite3|mysql|mariadb|boost|pugixml|fmt|date|catch2|benchmark)' include 2>/dev/null)

while read -r file; do
  head -n 1 "$file" | grep -q '^#pragma once' || violation "$file:1: a header begins with #pragma once"
done < <(find include src examples -name '*.hpp' 2>/dev/null)

while IFS=: read -r file line text; do
  violation "$file:$line: more than 110 columns"
done < <(grep -rnE '^.{111,}$' include src examples --include='*.hpp' --include='*.cpp' 2>/dev/null | cut -c1-200)

while IFS=: read -r file line text; do
  violation "$file:$line: a word of unfinished work:$text"
done < <(grep -rnwE 'TODO|FIXME|XXX|HACK' include src examples tests cmake --include='*.hpp' --include='*.cpp' --include='*.cmake' 2>/dev/null)

while IFS=: read -r file line text; do
  violation "$file:$line: a path of some machine:$text"
done < <(grep -rnE '(^|[" =(])/(home|work|root|Users)/' include src examples docs README.md --include='*.hpp' --include='*.cpp' --include='*.md' 2>/dev/null)

while IFS=: read -r file line text; do
  violation "$file:$line: an error is swallowed:$text"
done < <(grep -rnE 'catch *\( *\.\.\. *\) *\{ *\}' include src --include='*.hpp' --include='*.cpp' 2>/dev/null)

# Sizes are a guide to when an idea wants a file of its own, not a rule.
find include -name '*.hpp' 2>/dev/null | xargs -r wc -l | awk '$2 != "total" && $1 > 150 { print "notice: " $2 ": a header of " $1 " lines" }'
find src examples \( -name '*.cpp' -o -name '*.hpp' \) 2>/dev/null | xargs -r wc -l |
  awk '$2 != "total" && $1 > 400 { print "notice: " $2 ": a file of " $1 " lines" }'

echo "$violations violations"
[ "$violations" -eq 0 ]
