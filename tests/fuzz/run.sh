#!/usr/bin/env bash
# Looks for inputs that break the expression language. See --help.
set -euo pipefail
cd "$(dirname "$0")/../.."

usage() {
  cat <<'TEXT'
tests/fuzz/run.sh [RUNS [FUZZER OPTION]...] [--help]

Builds the fuzz target with clang++ under AddressSanitizer and UBSan in build-fuzz/ and gives it RUNS inputs (10,000,000
where none are given), made from the corpus. What breaks something is written to build-fuzz/crash-*; put it into
tests/fuzz/corpus/ once it is mended. Further words go to libFuzzer, such as -max_len=4200 or -max_total_time=600.
TEXT
}

if [ "${1:-}" = --help ]; then
  usage
  exit 0
fi
command -v clang++ >/dev/null || { echo "tests/fuzz/run.sh: there is no clang++ here, and libFuzzer is a part of it" >&2; exit 1; }
runs=${1:-10000000}
[ $# -eq 0 ] || shift

cmake -S . -B build-fuzz -DCMAKE_CXX_COMPILER=clang++ -DCMAKE_C_COMPILER=clang -DCMAKE_BUILD_TYPE=Debug \
  -DONCEWARD_BUILD_TESTS=ON -DONCEWARD_BUILD_FUZZERS=ON > /dev/null
cmake --build build-fuzz --target expression_fuzz -j "$(nproc)"
mkdir -p build-fuzz/found
cd build-fuzz
exec tests/fuzz/expression_fuzz found ../tests/fuzz/corpus -dict=../tests/fuzz/expressions.dict -runs="$runs" \
  -timeout=20 -rss_limit_mb=2048 -print_final_stats=1 "$@"
