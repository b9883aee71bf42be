# What the loyalty tests share. Source it with the program's path in $loyalty.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/loyalty-test-XXXXXX")
trap 'rm -rf "$work"' EXIT

# Counted in a file, since a check may run in a subshell.
fail() {
  echo "FAILED: $*" | tee -a "$work/failures" >&2
}

finish() {
  if [ -s "$work/failures" ]; then
    echo "$(wc -l <"$work/failures") checks failed" >&2
    exit 1
  fi
  echo "all checks passed"
}

# skip REASON: ctest shows the test as skipped.
skip() {
  echo "SKIPPED: $*"
  exit 77
}

# run CAMPAIGN ORDERS STORE_DIR STORAGE BUSINESS [more]: the ledger goes to STORE_DIR/ledger.csv, what is printed to
# STORE_DIR/out and STORE_DIR/err; the status is the program's.
run() {
  local campaign=$1 orders=$2 dir=$3 storage=$4 business=$5
  shift 5
  mkdir -p "$dir"
  "$loyalty" --campaign "$campaign" --events "$orders" --storage "$storage" --business "$business" \
    --ledger "$dir/ledger.csv" "$@" >"$dir/out" 2>"$dir/err"
}

# must_run ...: as run, where success is expected.
must_run() {
  local status=0
  run "$@" || status=$?
  if [ "$status" -ne 0 ]; then
    fail "exit code $status of: $*"
    cat "$3/err" >&2
  fi
}

# same_ledger EXPECTED DIR WHAT
same_ledger() {
  if ! cmp -s "$1" "$2/ledger.csv"; then
    fail "$3: the ledger differs"
    diff "$1" "$2/ledger.csv" | head -20 >&2 || true
  fi
}

# summary_has DIR "name=value" WHAT
summary_has() {
  if ! grep -qE "(^| )$2( |\$)" "$1/out"; then
    fail "$3: no $2 in: $(cat "$1/out")"
  fi
}

# make_orders N: the same N orders and refunds of 200 users every time, in the columns of the small campaign.
make_orders() {
  awk -v n="$1" 'BEGIN {
    seed = 42
    split("UK UK UK FR DE", country, " ")
    print "id,type,user,country,at,amount"
    for (i = 1; i <= n; ++i) {
      seed = (seed * 1103515245 + 12345) % 2147483648
      user = int(seed / 65536) % 200
      seed = (seed * 1103515245 + 12345) % 2147483648
      amount = 50 + int(seed / 65536) % 4000
      seed = (seed * 1103515245 + 12345) % 2147483648
      kind = int(seed / 65536) % 10
      minute = int(i * 120 * 1440 / n)
      day = int(minute / 1440)
      month = 1 + int(day / 30)
      printf "%d,%s,u%03d,%s,2011-%02d-%02dT%02d:%02d:00Z,%d\n", i, kind == 0 ? "order.refunded" : "order.paid",
        user, country[1 + user % 5], month, 1 + day % 28, int(minute % 1440 / 60), minute % 60, amount
    }
  }'
}
