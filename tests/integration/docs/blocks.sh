#!/usr/bin/env bash
# The C++ a page shows is C++ a test compiles. A block of a page is one of
#   ```cpp, its first line "// file: NAME.cpp"        a whole program: built and run
#   ```cpp under a line "<!-- fragment: NAME -->"     part of the program frames/*.cpp that includes "NAME.inc"
#   ```c++                                            no code to use: a signature, or what must not compile
#
# blocks.sh write FOLDER PAGE...   writes every NAME.cpp and NAME.inc, leaves what has not changed, prints the names
# blocks.sh check FRAMES PAGE...   names every block that is none of the three, and every fragment no frame includes
set -euo pipefail
export LC_ALL=C
mode=$1 folder=$2
shift 2
[ $# -gt 0 ] || { echo "blocks.sh: no page is named" >&2; exit 2; }
work=$(mktemp -d "${TMPDIR:-/tmp}/onceward-blocks-XXXXXX")
trap 'rm -rf "$work"' EXIT

# Prints the breaches of all pages, and writes the blocks that are compiled into the folder `out`.
awk -v out="$work" '
  function breach(line, what) { print FILENAME ":" line ": " what }
  function begin_block(title) {
    if (title in place) breach(opened, title " is a block of " place[title] " already")
    place[title] = FILENAME ":" opened
    target = out "/" title
    # What the compiler says then names the page.
    printf "#line %d \"%s\"\n", opened + (title ~ /cpp$/ ? 2 : 1), FILENAME >target
  }
  FNR == 1 {
    if (fence != "") print page ":" opened ": the block has no end"
    fence = ""; fragment = ""; page = FILENAME
  }
  fence == "" && /^[ \t]*(```+[^`]*|~~~.*)$/ {
    line = $0
    sub(/^[ \t]*/, "", line)
    fence = substr(line, 1, 3)
    language = line
    sub(/^[`~]+[ \t]*/, "", language)
    sub(/[ \t]+$/, "", language)
    opened = FNR; target = ""; first = 1
    cpp = language == "cpp"
    if (!cpp && language != "c++" && tolower(language) ~ /^(c|cc|cpp|cxx|c\+\+|h|hh|hpp|hxx)([ \t{].*)?$/)
      breach(FNR, "a block of C++ begins with ```cpp, or with ```c++ where it is no code to use; not with " language)
    if (cpp && line != $0) breach(FNR, "a block that is compiled begins at the first column")
    if (cpp && fragment != "") begin_block(fragment ".inc")
    else if (fragment != "") breach(FNR, "the fragment " fragment " is no ```cpp block")
    fragment = ""
    next
  }
  fence != "" && /^[ \t]*(```|~~~)[ \t]*$/ && index($0, fence) > 0 {
    if (cpp && target == "") breach(opened, "uncompiled C++: begin it with // file: NAME.cpp, or name a fragment")
    if (target != "") close(target)
    fence = ""
    next
  }
  fence != "" {
    if (cpp && first && target == "" && $0 ~ /^\/\/ file: [a-z0-9_]+\.cpp$/) begin_block(substr($0, 10))
    else if (target != "") print >target
    first = 0
    next
  }
  /^<!-- fragment: [a-z0-9_]+ -->$/ { fragment = $3; next }
  fragment != "" { breach(FNR, "the fragment " fragment " stands right above its block"); fragment = "" }
  END { if (fence != "") print page ":" opened ": the block has no end" }' "$@" >"$work/breaches"

blocks=$(cd "$work" && find . -name '*.cpp' -o -name '*.inc' | sed 's|^\./||' | sort)
case "$mode" in
  write)
    # The build must not fall over a page that is being written: that is for the check to tell.
    mkdir -p "$folder"
    for block in $blocks; do
      cmp -s "$work/$block" "$folder/$block" || cp "$work/$block" "$folder/$block"
    done
    [ -z "$blocks" ] || printf '%s\n' $blocks
    ;;
  check)
    for block in $blocks; do
      case "$block" in
        *.inc)
          grep -qxF -- "#include \"$block\"" "$folder"/*.cpp ||
            echo "$block: no program of $folder includes this fragment" >>"$work/breaches" ;;
      esac
    done
    cat "$work/breaches"
    echo "blocks.sh: $# pages read, $(wc -w <<<"$blocks") blocks compiled, $(wc -l <"$work/breaches") breaches"
    [ ! -s "$work/breaches" ]
    ;;
  *) echo "blocks.sh: write or check, not $mode" >&2; exit 2 ;;
esac
