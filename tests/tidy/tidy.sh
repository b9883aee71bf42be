#!/usr/bin/env bash
# tidy.sh [ROOT]: the house rules of docs and code, checked by reading. Prints "file:line: what" for every breach and a
# notice where a file has outgrown its guide; exits with 1 where a rule is broken.
set -euo pipefail
export LC_ALL=C
cd "${1:-$(dirname "$0")/../..}"

# What each room may include besides itself. A new room is a new line here.
rooms='
core:
expr:core
storage:core
config:core storage
cache:core storage
journal:core
testing:core expr storage journal pipeline
idempotency:core expr storage journal
pipeline:core expr storage idempotency journal
task:core expr storage pipeline config journal
console:core expr storage idempotency pipeline task config cache journal
'

folders=()
for folder in include src examples tests cmake docs; do
  [ -d "$folder" ] && folders+=("$folder")
done
[ ${#folders[@]} -gt 0 ] || { echo "tidy: nothing to read in $PWD" >&2; exit 1; }
# These scripts spell out what they forbid.
mapfile -t files < <(find "${folders[@]}" -type f -not -path 'tests/tidy/*' \
  \( -name '*.cpp' -o -name '*.hpp' -o -name '*.md' -o -name '*.txt' -o -name '*.cmake' -o -name '*.in' -o -name '*.sh' \
  -o -name '*.xml' \) | sort)
for page in README.md CONTRIBUTING.md CHANGELOG.md; do
  [ -f "$page" ] && files+=("$page")
done
[ ${#files[@]} -gt 0 ] || { echo "tidy: no file to read in $PWD" >&2; exit 1; }

awk -v rooms="$rooms" '
  BEGIN {
    most_columns = 110; guide_header = 150; guide_file = 400
    count = split(rooms, line, "\n")
    for (i = 1; i <= count; ++i) {
      if (line[i] == "") continue
      split(line[i], part, ":")
      known[part[1]] = 1
      allowed[part[1], part[1]] = 1
      many = split(part[2], other, " ")
      for (j = 1; j <= many; ++j) allowed[part[1], other[j]] = 1
    }
  }
  function breach(what) { print FILENAME ":" FNR ": " what; ++breaches }
  function finish_file() {
    if (name == "") return
    if (header && !once) { print name ":1: has no #pragma once"; ++breaches }
    if (public && lines > guide_header) notice[++notices] = name ": " lines " lines; a header is best under " guide_header
    else if (code && lines > guide_file) notice[++notices] = name ": " lines " lines; a file is best under " guide_file
    if (wide > 0) notice[++notices] = name ": " wide " lines over " most_columns " columns"
  }
  function check_include(target, quoted,    head) {
    if (target ~ /^onceward\//) {
      if (quoted) breach("a public header is included with <>: \"" target "\"")
      sub(/^onceward\//, "", target)
      head = target
      sub(/\/.*/, "", head)
      if (room != "" && !((room, head) in allowed))
        breach("room " room " must not include room " head " (" target ")")
    } else if (public) {
      if (quoted) breach("a public header includes only <onceward/...> and the standard library: \"" target "\"")
      else if (target ~ /[.\/]/ && !(target == "boost/pfr/core.hpp" && FILENAME == "include/onceward/expr/reflect.hpp"))
        breach("a public header must not include the vendor header <" target ">")
    } else if (quoted && room != "") {
      head = target
      if (target !~ /\//) breach("include \"" target "\" by its place under src, as in \"" room "/" target "\"")
      else {
        sub(/\/.*/, "", head)
        if (!((room, head) in allowed)) breach("room " room " must not include room " head " (" target ")")
        else if (room == "console" && head != room) breach("console knows other rooms by their public headers alone: " target)
      }
    }
  }
  FNR == 1 {
    finish_file()
    name = FILENAME; lines = 0; wide = 0; once = 0; room = ""
    code = name ~ /\.(cpp|hpp)$/; header = name ~ /\.hpp$/; public = code && name ~ /^include\//
    house = name ~ /^(include|src)\//
    if (code && house) {
      room = name
      sub(/^include\/onceward\//, "", room); sub(/^(include|src)\//, "", room)
      if (room !~ /\//) { breach("lies in no room"); room = "" }
      else {
        sub(/\/.*/, "", room)
        if (!(room in known)) { breach("room " room " is not listed in tests/tidy/tidy.sh"); room = "" }
      }
    }
  }
  {
    ++lines
    text = $0
    gsub(/[\200-\277]/, "", text)  # columns are characters, and these bytes only continue one
    columns = length(text)
    if (code) {
      # A test may carry a long literal; it is told, and no more.
      if (columns > most_columns && name ~ /^tests\//) ++wide
      else if (columns > most_columns) breach(columns " columns, the most are " most_columns)
    }
    if (header && $0 ~ /^#pragma once/) once = 1
    if (code && house && $0 ~ /catch *\( *\.\.\. *\) *\{ *\}/) breach("an error is swallowed: " $0)
    if (match($0, /(^|[^A-Za-z0-9_])(TODO|FIXME|XXX|HACK)([^A-Za-z0-9_]|$)/))
      breach("unfinished: " substr($0, RSTART, RLENGTH))
    if (name !~ /^(tests|cmake)\// && match($0, /(^|[^A-Za-z0-9_.)}~\/-])\/(work|home|tmp|root|Users)([^A-Za-z0-9_]|$)/))
      breach("a path of one machine: " substr($0, RSTART, RLENGTH))
  }
  code && /^[ \t]*#[ \t]*include[ \t]*[<"]/ {
    target = $0
    sub(/^[ \t]*#[ \t]*include[ \t]*/, "", target)
    quoted = substr(target, 1, 1) == "\""
    target = substr(target, 2)
    sub(/[>"].*/, "", target)
    check_include(target, quoted)
  }
  END {
    finish_file()
    for (i = 1; i <= notices; ++i) print "notice: " notice[i]
    printf "tidy: %d files read, %d breaches, %d notices\n", ARGC - 1, breaches, notices
    exit breaches > 0
  }' "${files[@]}"
