#!/bin/bash
# loyalty_bench.sh BUILD_DIR [SHARED_DIR]: how many events a second the loyalty program handles, and what a hundred
# times more orders cost. Medians of 5; prints figures, decides nothing.
set -euo pipefail
build=$1
shared=${2:-}
loyalty=$build/examples/loyalty
generate=$build/examples/generate_orders
rounds=5
small=${SMALL:-10000}
large=${LARGE:-1000000}
work=$(mktemp -d "${TMPDIR:-/tmp}/loyalty-bench-XXXXXX")
trap 'rm -rf "$work"' EXIT

# value NAME < summary line
value() { tr ' ' '\n' | sed -n "s/^$1=//p"; }
median() { sort -g | sed -n "$(((rounds + 1) / 2))p"; }

# once CAMPAIGN ORDERS STORAGE BUSINESS: the summary line of a run on new stores.
once() {
  rm -f "$work"/*.db*
  "$loyalty" --campaign "$1" --events "$2" --storage "$3" --business "$4" --ledger "$work/ledger.csv" --batch 256
}

# figure WHAT GOAL CAMPAIGN ORDERS STORAGE BUSINESS
figure() {
  local what=$1 goal=$2
  shift 2
  for ((i = 0; i < rounds; ++i)); do once "$@" | value events_per_second; done | median |
    xargs -I{} printf '%-58s %8s events/s   goal %s\n' "$what" {} "$goal"
}

campaign=$shared/acceptance/retail/campaign.xml
orders=$shared/data/online-retail/orders-2010-12-to-2011-06.csv
if [ -r "$campaign" ] && [ -r "$orders" ]; then
  figure "real orders, sqlite (full), business file, 1 thread" 3000 "$campaign" "$orders" \
    "sqlite:$work/store.db" "$work/business.db"
  figure "real orders, memory, business :memory:, 1 thread" 60000 "$campaign" "$orders" memory: :memory:
else
  echo "the real orders are absent: their figures are left out"
fi

[ -x "$generate" ] || { echo "there is no $generate: growth is left out"; exit 0; }
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
sample=$here/examples/data/campaign.xml
[ -r "$sample" ] || { echo "there is no $sample: growth is left out"; exit 0; }

# grow EVENTS RUNS: microseconds of an event and peak KiB.
grow() {
  local events=$1 runs=$2
  "$generate" --events "$events" --users "$((events / 10))" --seed 1 >"$work/orders.csv"
  for ((i = 0; i < runs; ++i)); do
    once "$sample" "$work/orders.csv" "sqlite:$work/store.db" "$work/business.db" >"$work/summary"
    awk -v s="$(value seconds <"$work/summary")" -v n="$(value events <"$work/summary")" \
      -v k="$(value peak_rss_kib <"$work/summary")" 'BEGIN { printf "%.2f %d\n", s * 1000000 / n, k }'
  done | sort -g | sed -n "$(((runs + 1) / 2))p"
}
read -r small_us small_kib < <(grow "$small" "$rounds")
read -r large_us large_kib < <(grow "$large" 1)
printf '%-58s %8s us/event, peak %s KiB\n' "made orders, sqlite, $small events" "$small_us" "$small_kib"
printf '%-58s %8s us/event, peak %s KiB\n' "made orders, sqlite, $large events" "$large_us" "$large_kib"
awk -v a="$small_us" -v b="$large_us" -v c="$small_kib" -v d="$large_kib" 'BEGIN {
  printf "%-58s %8.1f %% time an event (goal < 30), %.1f MB memory (goal < 50)\n", "growth", (b / a - 1) * 100,
    (d - c) / 1024 }'
