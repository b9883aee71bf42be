#!/usr/bin/env bash
# From a bare clone to rewards: installs what is missing, builds, runs the loyalty program on sample orders, twice.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ "${1:-}" = --help ]; then
  echo "examples/demo.sh: builds the loyalty example in build/ and runs it on examples/data/orders.csv (Debian: as root or with sudo)"
  exit 0
fi

mapfile -t packages < tests/support/build_packages.txt
bash tests/support/packages.sh "${packages[@]}"

echo "building (a few minutes the first time) ..."
generator=()
[ -f build/CMakeCache.txt ] || { command -v ninja >/dev/null && generator=(-G Ninja); }
cmake -S . -B build "${generator[@]}" -DCMAKE_BUILD_TYPE=Release \
  $(dpkg-query -W -f='${Status}' catch2 2>/dev/null | grep -q 'install ok' || echo -DONCEWARD_BUILD_TESTS=OFF) > /dev/null
cmake --build build --target loyalty -j "$(nproc)" > /dev/null

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
run() {
  build/examples/loyalty --campaign examples/data/campaign.xml --events examples/data/orders.csv \
    --storage "sqlite:$work/rewards.db" --business "$work/business.db" --ledger "$work/ledger.csv" --batch 256
}
echo
echo "first run: every order is reported as an event, reached stages are rewarded"
run
echo
awk -F, 'NR > 1 {
    grants[$2 "," $3 "," $4 "," $1] = 1; users[$2 "," $1] = 1; tasks[$2] = 1
    if ($5 == "points") points[$2] += $6; else coupons[$2]++
  }
  END {
    for (g in grants) { split(g, part, ","); count[part[1]]++ }
    for (u in users) { split(u, part, ","); people[part[1]]++ }
    for (t in tasks) printf "%s %d %d %d %d\n", t, count[t], people[t], points[t], coupons[t]
  }' "$work/ledger.csv" | sort |
  awk 'BEGIN { line = "+--------------+--------+-------+---------+---------+"
               print line; printf "| %-12s | %6s | %5s | %7s | %7s |\n", "task", "grants", "users", "points", "coupons"; print line }
       { printf "| %-12s | %6d | %5d | %7d | %7d |\n", $1, $2, $3, $4, $5; g += $2; p += $4; c += $5 }
       END { print line; printf "| %-12s | %6d | %5s | %7d | %7d |\n", "all", g, "", p, c; print line }'
cp "$work/ledger.csv" "$work/first.csv"
echo
echo "second run over the same orders: every event is known, nothing more is granted"
run
cmp "$work/first.csv" "$work/ledger.csv" && echo "the ledger is the same, byte for byte"
