#!/bin/bash
# small_campaign.sh LOYALTY: a few orders whose rewards were worked out by hand, on every storage and batch size.
loyalty=$1
. "$(dirname "$0")/lib.sh"

# Order 7 lies in April where the shop is: its clocks are an hour ahead of UTC by then. Order 6 comes twice, the two
# units of January's quota go to bob and ann, cat comes too late.
cat >"$work/orders.csv" <<'ORDERS'
id,type,user,country,at,amount
1,order.paid,ann,UK,2011-01-03T10:00:00Z,1500
2,order.paid,bob,UK,2011-01-04T10:00:00Z,2500
3,order.paid,ann,FR,2011-01-03T23:30:00Z,4000
4,order.refunded,bob,UK,2011-01-05T10:00:00Z,500
5,order.paid,cat,UK,2011-01-06T09:00:00Z,9000
6,order.paid,bob,UK,2011-01-10T08:00:00Z,900
7,order.paid,ann,UK,2011-03-31T23:30:00Z,2000
8,order.paid,ann,UK,2011-04-01T10:00:00Z,3000
6,order.paid,bob,UK,2011-01-10T08:00:00Z,900
9,order.paid,ann,UK,2011-04-30T10:00:00Z,100
10,order.paid,"d/e, ""f""",UK,2011-02-01T00:00:00Z,1000
ORDERS
cat >"$work/expected.csv" <<'LEDGER'
user,task,cycle,stage,step,value
ann,busy-day,D:2011-01-03,1,points,3
ann,busy-day,D:2011-04-01,1,points,3
ann,month-orders,M:2011-01,1,points,20
ann,month-orders,M:2011-04,1,points,20
ann,month-orders,M:2011-04,2,coupon,FREESHIP
ann,month-orders,M:2011-04,2,points,30
ann,spend,M:2011-01,1,points,100
ann,spend,M:2011-04,1,points,100
ann,traveller,-,1,points,30
ann,two-first,M:2011-01,1,points,25
ann,two-first,M:2011-04,1,points,25
ann,welcome,-,1,points,50
bob,habit,-,1,points,60
bob,month-orders,M:2011-01,1,points,20
bob,two-first,M:2011-01,1,points,25
bob,welcome,-,1,points,50
cat,spend,M:2011-01,1,points,100
cat,welcome,-,1,points,50
"d/e, ""f""",welcome,-,1,points,50
LEDGER
campaign=$here/small_campaign.xml

for batch in 1 2 7 256; do
  dir=$work/memory-$batch
  must_run "$campaign" "$work/orders.csv" "$dir" memory: :memory: --batch "$batch"
  same_ledger "$work/expected.csv" "$dir" "memory, batch $batch"
  summary_has "$dir" events=11 "memory, batch $batch"
  summary_has "$dir" duplicates=1 "memory, batch $batch"
  summary_has "$dir" grants=18 "memory, batch $batch"
  summary_has "$dir" out_of_stock=1 "memory, batch $batch"
done

dir=$work/sqlite
must_run "$campaign" "$work/orders.csv" "$dir" "sqlite:$work/store.db" "$work/business.db" --batch 3
same_ledger "$work/expected.csv" "$dir" "sqlite"
must_run "$campaign" "$work/orders.csv" "$dir" "sqlite:$work/store.db" "$work/business.db"
same_ledger "$work/expected.csv" "$dir" "sqlite, again"
summary_has "$dir" duplicates=11 "sqlite, again"
summary_has "$dir" grants=0 "sqlite, again"

# The standard input, a pipe, other line ends, a byte order mark.
dir=$work/input
run "$campaign" - "$dir" memory: :memory: <"$work/orders.csv" || fail "from the standard input: $(cat "$dir/err")"
same_ledger "$work/expected.csv" "$dir" "from the standard input"
{ printf '\xef\xbb\xbf'; sed 's/$/\r/' "$work/orders.csv"; } >"$work/windows.csv"
must_run "$campaign" <(cat "$work/windows.csv") "$dir" memory: :memory:
same_ledger "$work/expected.csv" "$dir" "from a pipe with CRLF"

# Several threads: the same for all but the task with a quota, and as many lines for that one.
make_orders 3000 >"$work/many.csv"
must_run "$campaign" "$work/many.csv" "$work/one" memory: :memory:
[ "$(wc -l <"$work/one/ledger.csv")" -gt 500 ] || fail "the made orders earn too little to test anything"
for storage in memory: "sqlite:$work/threads.db"; do
  dir=$work/threads
  must_run "$campaign" "$work/many.csv" "$dir" "$storage" :memory: --threads 4 --batch 16
  if ! diff <(grep -v ',two-first,' "$work/one/ledger.csv") <(grep -v ',two-first,' "$dir/ledger.csv") >/dev/null; then
    fail "4 threads on $storage: the ledger differs"
  fi
  [ "$(grep -c ',two-first,' "$work/one/ledger.csv")" = "$(grep -c ',two-first,' "$dir/ledger.csv")" ] ||
    fail "4 threads on $storage: another number of quota rewards"
done
finish
