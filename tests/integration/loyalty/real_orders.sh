#!/bin/bash
# real_orders.sh LOYALTY SHARED_DIR: the real campaign and orders give exactly the ledger that was computed
# independently.
loyalty=$1
. "$(dirname "$0")/lib.sh"
campaign=${2:-}/acceptance/retail/campaign.xml
expected=${2:-}/acceptance/retail/ledger.csv
orders=${2:-}/data/online-retail/orders-2010-12-to-2011-06.csv
for file in "$campaign" "$expected" "$orders"; do
  [ -r "$file" ] || skip "there is no $file; the real orders are not part of the repository"
done

quota=',big-order,'
one_thread() {
  local dir=$work/$1 storage=$2 business=$3 batch=$4
  must_run "$campaign" "$orders" "$dir" "$storage" "$business" --batch "$batch"
  same_ledger "$expected" "$dir" "$1"
  summary_has "$dir" events=10705 "$1"
  summary_has "$dir" duplicates=0 "$1"
}
for batch in 1 7 256; do
  one_thread "memory-$batch" memory: :memory: "$batch"
done
one_thread sqlite-7 "sqlite:$work/seven.db" "$work/seven-business.db" 7
one_thread sqlite-256 "sqlite:$work/store.db" "$work/business.db" 256

must_run "$campaign" "$orders" "$work/again" "sqlite:$work/store.db" "$work/business.db"
same_ledger "$expected" "$work/again" "again"
summary_has "$work/again" duplicates=10705 "again"
summary_has "$work/again" grants=0 "again"

for storage in memory: "sqlite:$work/threads.db"; do
  dir=$work/threads
  business=:memory:
  [ "$storage" = memory: ] || business=$work/threads-business.db
  must_run "$campaign" "$orders" "$dir" "$storage" "$business" --threads 4
  if ! diff <(grep -v "$quota" "$expected") <(grep -v "$quota" "$dir/ledger.csv") >"$work/difference"; then
    fail "4 threads on $storage: the ledger differs"
    head -20 "$work/difference" >&2
  fi
  [ "$(grep -c "$quota" "$expected")" = "$(grep -c "$quota" "$dir/ledger.csv")" ] ||
    fail "4 threads on $storage: another number of quota rewards"
done
finish
