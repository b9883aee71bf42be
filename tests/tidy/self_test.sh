#!/usr/bin/env bash
# Proves that tidy.sh sees each kind of breach: a clean tree passes, and the same tree with one breach fails naming it.
set -euo pipefail
tidy=$(cd "$(dirname "$0")" && pwd)/tidy.sh
work=$(mktemp -d "${TMPDIR:-/tmp}/tidy-test-XXXXXX")
trap 'rm -rf "$work"' EXIT
checks=0
failures=0
fail() { echo "FAILED: $*" >&2; failures=$((failures + 1)); }

put() { mkdir -p "$(dirname "$work/$1")"; printf '%s\n' "${@:2}" >"$work/$1"; }

clean_tree() {
  rm -rf "${work:?}"/*
  put include/onceward/core/result.hpp '#pragma once' '#include <string>'
  put include/onceward/expr/reflect.hpp '#pragma once' '#include <boost/pfr/core.hpp>' '#include <onceward/core/result.hpp>'
  put include/onceward/storage/open.hpp '#pragma once' '#include <onceward/core/result.hpp>'
  put include/onceward/testing/fake.hpp '#pragma once' '#include <onceward/storage/open.hpp>'
  put src/storage/open.cpp '#include <onceward/storage/open.hpp>' '#include <sqlite3.h>' '#include "storage/tables.hpp"'
  put src/storage/tables.hpp '#pragma once' '// A due page: see storage/work.hpp; mkdtemp takes nameXXXXXX.'
  put src/task/reporter.cpp '#include <onceward/pipeline/runner.hpp>' '#include "pipeline/reader.hpp"'
  put docs/a.md 'Read https://example.com/home/ first.'
  put tests/unit/a_test.cpp '#include "support/catch.hpp"'
}

# breach WORDS FILE LINE...: the file replaces or joins the clean tree; exactly one breach, with these words, is seen.
breach() {
  clean_tree
  put "${@:2}"
  checks=$((checks + 1))
  local status=0
  bash "$tidy" "$work" >"$work.out" 2>&1 || status=$?
  [ "$status" -eq 1 ] || fail "exit code $status for: $1"
  grep -qF -- "$1" "$work.out" || fail "not seen: $1"
  grep -q ' 1 breaches' "$work.out" || fail "more than the one breach for: $1"
  grep -q "^$2:[0-9]*: " "$work.out" || fail "$2 is not named for: $1"
  rm -f "$work.out"
}
# notice WORDS FILE LINE...: seen, but not a breach.
notice() {
  clean_tree
  put "${@:2}"
  checks=$((checks + 1))
  bash "$tidy" "$work" >"$work.out" 2>&1 || fail "a notice must not fail: $1"
  grep -q "^notice: $2: .*$1" "$work.out" || fail "no notice: $1"
  rm -f "$work.out"
}
dots() { printf '//%*s' "$(($1 - 2))" '' | tr ' ' .; }
umlauts() { printf '//'; for ((i = 2; i < $1; ++i)); do printf 'ü'; done; }

clean_tree
bash "$tidy" "$work" >/dev/null || fail "the clean tree does not pass"
put src/core/wide.cpp "$(umlauts 108)"
bash "$tidy" "$work" | grep -q ' 0 notices' || fail "bytes were counted, not characters"

breach 'room core must not include room storage' include/onceward/core/x.hpp '#pragma once' '#include <onceward/storage/open.hpp>'
breach 'room expr must not include room storage' src/expr/x.cpp '#include <onceward/storage/open.hpp>'
breach 'room storage must not include room expr' src/storage/x.cpp '#include "expr/ast.hpp"'
breach 'room storage must not include room expr' src/storage/sqlite/x.cpp '  #  include <onceward/expr/reflect.hpp>'
breach 'room idempotency must not include room pipeline' src/idempotency/x.cpp '#include <onceward/pipeline/runner.hpp>'
breach 'room pipeline must not include room task' src/pipeline/x.cpp '#include <onceward/task/event.hpp>'
breach 'room task must not include room idempotency' src/task/x.cpp '#include <onceward/idempotency/guard.hpp>'
breach 'room testing must not include room task' src/testing/x.cpp '#include <onceward/task/task_center.hpp>'
breach 'room core must not include room testing' src/core/x.cpp '#include <onceward/testing/fake.hpp>'
breach 'console knows other rooms by their public headers' src/console/x.cpp '#include "pipeline/driver.hpp"'
breach 'room cellar is not listed' src/cellar/x.cpp ''
breach 'lies in no room' include/onceward/all.hpp '#pragma once'
breach 'the vendor header <fmt/format.h>' include/onceward/core/x.hpp '#pragma once' '#include <fmt/format.h>'
breach 'the vendor header <pugixml.hpp>' include/onceward/core/x.hpp '#pragma once' '#include <pugixml.hpp>'
breach 'the vendor header <boost/pfr/core.hpp>' include/onceward/expr/x.hpp '#pragma once' '#include <boost/pfr/core.hpp>'
breach 'the vendor header <boost/pfr.hpp>' include/onceward/expr/reflect.hpp '#pragma once' '#include <boost/pfr.hpp>'
breach 'only <onceward/...> and the standard' include/onceward/core/x.hpp '#pragma once' '#include "core/text.hpp"'
breach 'included with <>' src/core/x.cpp '#include "onceward/core/result.hpp"'
breach 'by its place under src' src/storage/x.cpp '#include "tables.hpp"'
breach 'has no #pragma once' include/onceward/core/x.hpp '#include <string>'
breach 'has no #pragma once' src/core/x.hpp '#include <string>'
breach '111 columns' src/core/x.cpp "$(dots 111)"
breach '111 columns' examples/x.cpp "$(dots 111)"
breach 'an error is swallowed' src/core/x.cpp 'void f() { try { g(); } catch (...) {} }'
for word in TODO FIXME XXX HACK; do
  breach "unfinished: " src/core/x.cpp "// $word: later"
  breach "unfinished: " tests/unit/x_test.cpp "//$word"
done
breach 'a path of one machine' src/core/x.cpp 'auto path = "/home/me/rewards.db";'
breach 'a path of one machine' README.md 'Look into /home/me.'
breach 'a path of one machine' docs/x.md 'cd /work/tree'
breach 'a path of one machine' include/onceward/core/x.hpp '#pragma once' '// see (/tmp/x)'

mapfile -t long < <(yes '// line' | head -n 400)
notice '401 lines' src/core/x.cpp "${long[@]}" '//'
notice '151 lines' include/onceward/core/x.hpp '#pragma once' "${long[@]:0:150}"
notice '1 lines over 110' tests/unit/x_test.cpp "$(dots 130)"

echo "$checks breaches and notices tried, $failures checks failed"
[ "$failures" -eq 0 ]
