#!/usr/bin/env bash
# check.sh PROGRAM: the life of two versions, as the example's command line has it.
set -euo pipefail
templates=$(cd "$(dirname "$0")" && pwd)
program=$1
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
run() { "$program" sqlite:templates.db "$@"; }
fail() { echo "check.sh: $1" >&2; exit 1; }

run publish "$templates" ann "first release" | grep -q 'welcome/2 published' || fail "publish"
run publish "$templates" ann "again" | grep -q 'welcome/2 was there' || fail "publish again"
run activate welcome 1 - ann "first release"
[ "$(run run welcome bob)" = "welcome, bob
version 1: succeeded" ] || fail "a run of version 1"
! run activate welcome 2 - ann "an old view" 2>/dev/null || fail "activate expects the active version"
run activate welcome 2 1 ann "gifts"
[ "$(run run welcome eve)" = "welcome, eve
100 points for eve
version 2: succeeded" ] || fail "a run of version 2"
[ "$(run run welcome bob)" = "version 1: succeeded" ] || fail "a run that is there"
run retire welcome 1 ann "no run is live"
[ "$(run list)" = "gift: 1
welcome: 1 (retired) 2 (active)" ] || fail "list"
[ "$(run history welcome | wc -l)" -eq 5 ] || fail "history"
mkdir bad
printf '<pipeline id="welcome" version="3">\n  <step id="greet" use="prin@1"/>\n</pipeline>\n' > bad/three.xml
! run publish bad ann "a mistake" > bad/out 2>&1 || fail "a bad file is refused"
grep -q 'three.xml:2:3: unknown-step: .*did you mean print@1' bad/out || fail "the place of a mistake"
"$program" --help | grep -q 'usage' || fail "--help"
! run nonsense 2>/dev/null || fail "no command"
