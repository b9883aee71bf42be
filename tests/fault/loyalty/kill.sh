#!/bin/bash
# kill.sh LOYALTY [SHARED_DIR]: killed at any moment and run again on the same stores, the program ends with the
# ledger of a run that nobody disturbed. On the real orders where they are, else on made ones.
loyalty=$1
. "$(dirname "$0")/../../integration/loyalty/lib.sh"

kills=40
lease=250ms  # how long the rewards of a killed run stay untouched; short, since every restart may wait for it
killed=137

shared=${2:-}
campaign=$shared/acceptance/retail/campaign.xml
orders=$shared/data/online-retail/orders-2010-12-to-2011-06.csv
if [ -r "$campaign" ] && [ -r "$orders" ]; then
  expected=$shared/acceptance/retail/ledger.csv
else
  echo "the real orders are absent: made ones are used"
  campaign=$here/small_campaign.xml
  orders=$work/orders.csv
  expected=$work/expected/ledger.csv
  make_orders 10000 >"$orders"
  must_run "$campaign" "$orders" "$work/expected" memory: :memory:
fi

stores() {
  rm -f "$work"/store.db* "$work"/business.db*
  rm -rf "$work/killed"
}

# start [more]: a run on the stores, as they are.
start() { run "$campaign" "$orders" "$work/killed" "sqlite:$work/store.db" "$work/business.db" --lease "$lease" "$@"; }

now_ms() { echo $(($(date +%s%N) / 1000000)); }

# Every named crash point once, some of them also in the midst of the work.
for point in publish.after commit.before commit.after read.before read.after business.before business.after \
  ledger.before ledger.written ledger.renamed commit.before:30 commit.after:31 read.after:20 business.before:20 \
  business.after:21; do
  stores
  status=0
  { start --crash-at "$point"; } 2>/dev/null || status=$?
  [ "$status" -eq "$killed" ] || fail "$point: exit code $status instead of a kill: $(cat "$work/killed/err")"
  status=0
  start || status=$?
  [ "$status" -eq 0 ] || fail "after $point: exit code $status: $(cat "$work/killed/err")"
  same_ledger "$expected" "$work/killed" "after $point"
done
echo "every crash point: done"

stores
began=$(now_ms)
start || fail "undisturbed: $(cat "$work/killed/err")"
whole=$(($(now_ms) - began))
echo "undisturbed: $whole ms"

# The moments move from the first to the last of the work, so that each kill meets it further on. Where a run comes
# to its end before its kill, its ledger is looked at and the next one begins with new stores.
RANDOM=20110630
stores
done_kills=0
rounds=1
while [ "$done_kills" -lt "$kills" ]; do
  most=$((20 + whole * (done_kills % 20 + 1) / 20))
  delay=$((5 + (RANDOM * 32768 + RANDOM) % most))
  mkdir -p "$work/killed"
  "$loyalty" --campaign "$campaign" --events "$orders" --storage "sqlite:$work/store.db" --lease "$lease" \
    --business "$work/business.db" --ledger "$work/killed/ledger.csv" >"$work/killed/out" 2>"$work/killed/err" &
  victim=$!
  sleep "$(printf '%d.%03d' $((delay / 1000)) $((delay % 1000)))"
  kill -KILL "$victim" 2>/dev/null || true
  status=0
  wait "$victim" 2>/dev/null || status=$?
  if [ "$status" -eq "$killed" ]; then
    done_kills=$((done_kills + 1))
  elif [ "$status" -eq 0 ]; then
    same_ledger "$expected" "$work/killed" "round $rounds, after $done_kills kills"
    stores
    rounds=$((rounds + 1))
  else
    fail "exit code $status after $done_kills kills: $(cat "$work/killed/err")"
    break
  fi
done
start || fail "after all kills: $(cat "$work/killed/err")"
same_ledger "$expected" "$work/killed" "after all kills"
echo "$done_kills kills at random moments in $rounds rounds"
finish
