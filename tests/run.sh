#!/usr/bin/env bash
# Installs what the tests need, builds, and runs everything. See --help.
set -uo pipefail
cd "$(dirname "$0")/.."

usage() {
  cat <<'TEXT'
tests/run.sh [--all] [--help]

Installs missing packages (Debian, as root or with sudo), builds the release preset in build/ and runs every test.

  --all     then also runs the unit and contract tests under AddressSanitizer + UBSan and under ThreadSanitizer, and
            compiles everything with clang++ where it is installed
  --help    this text

The last line is "N passed, N failed"; the exit code is 0 where nothing failed.
TEXT
}

all=0
for argument in "$@"; do
  case "$argument" in
    --all) all=1 ;;
    --help) usage; exit 0 ;;
    *) echo "tests/run.sh: unknown option $argument; see --help" >&2; exit 2 ;;
  esac
done

mapfile -t packages < tests/support/build_packages.txt
bash tests/support/packages.sh "${packages[@]}" catch2 ccache sqlite3 redis-server mariadb-server galera-4 libxml2-utils || exit 1

passed=0
failed=0
stage() { printf '\n== %s (%s s so far)\n' "$1" "$SECONDS"; }
fail_stage() { failed=$((failed + 1)); echo "FAILED: $1"; }
generator=()
command -v ninja >/dev/null && generator=(-G Ninja)

configure() { # preset
  cmake --preset "$1" "${generator[@]}" -DONCEWARD_BUILD_TESTS=ON > "/tmp/onceward-configure.$$" 2>&1 || { cat "/tmp/onceward-configure.$$"; return 1; }
  rm -f "/tmp/onceward-configure.$$"
}

count() { # the summary line of ctest: "97% tests passed, 1 tests failed out of 40"
  local line failures total
  line=$(grep -E 'tests passed, [0-9]+ tests failed out of [0-9]+' "$1" | tail -n 1)
  if [ -z "$line" ]; then
    fail_stage "ctest ran nothing"
    return
  fi
  failures=$(sed -E 's/.*, ([0-9]+) tests failed.*/\1/' <<<"$line")
  total=$(sed -E 's/.*out of ([0-9]+).*/\1/' <<<"$line")
  passed=$((passed + total - failures))
  failed=$((failed + failures))
}

run_preset() { # preset, build targets or nothing, ctest arguments...
  local preset=$1 target=$2
  shift 2
  local log
  log=$(mktemp)
  stage "$preset: build"
  configure "$preset" || { fail_stage "$preset: configure"; return; }
  local build_dir=build
  [ "$preset" = release ] || build_dir=build-$preset
  if ! cmake --build "$build_dir" ${target:+--target "$target"} -j "$(nproc)" > "$log" 2>&1; then
    tail -n 60 "$log"
    fail_stage "$preset: build"
    return
  fi
  stage "$preset: tests"
  ctest --test-dir "$build_dir" --output-on-failure --no-tests=error -j "$(nproc)" "$@" 2>&1 | tee "$log" | grep -vE '^ *Start '
  count "$log"
  rm -f "$log"
}

run_preset release "" -E '^$'
if [ "$all" -eq 1 ]; then
  export ASAN_OPTIONS=detect_leaks=1:strict_string_checks=1
  export TSAN_OPTIONS=halt_on_error=1
  run_preset asan onceward_unit_tests -L '^(unit|contract)$'
  # That the contract suite finds broken storages is shown above; among threads it only takes minutes.
  run_preset tsan onceward_unit_tests -L '^(unit|contract)$' -E contract_broken
  if command -v clang++ >/dev/null; then
    stage "clang++: compile"
    if cmake -S . -B build-clang "${generator[@]}" -DCMAKE_CXX_COMPILER=clang++ -DCMAKE_C_COMPILER=clang \
         -DCMAKE_BUILD_TYPE=Debug > /dev/null && cmake --build build-clang -j "$(nproc)" > /tmp/onceward-clang.$$ 2>&1; then
      passed=$((passed + 1))
    else
      grep -E 'error|warning' /tmp/onceward-clang.$$ | head -n 40
      fail_stage "clang++"
    fi
    rm -f /tmp/onceward-clang.$$
  fi
fi

printf '\nall stages took %s s\n' "$SECONDS"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
