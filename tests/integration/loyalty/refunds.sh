#!/bin/bash
# refunds.sh LOYALTY: refunds that name the order they take back: in part, wholly, before the order comes.
loyalty=$1
. "$(dirname "$0")/lib.sh"

# Ann's first order is taken back by 10 pounds, so that her second one makes just 50. Bob's order was taken back before.
cat >"$work/orders.csv" <<'ORDERS'
id,type,user,country,at,amount,reverses,reversed_amount
1,order.paid,ann,UK,2011-01-03T10:00:00Z,3000,,
2,order.refunded,ann,UK,2011-01-04T10:00:00Z,1000,1,1000
3,order.paid,ann,UK,2011-01-10T10:00:00Z,3000,,
4,order.refunded,bob,UK,2011-01-11T10:00:00Z,9000,5,
5,order.paid,bob,UK,2011-01-11T09:00:00Z,9000,,
2,order.refunded,ann,UK,2011-01-04T10:00:00Z,1000,1,1000
ORDERS
cat >"$work/expected.csv" <<'LEDGER'
user,task,cycle,stage,step,value
ann,habit,-,1,points,60
ann,month-orders,M:2011-01,1,points,20
ann,spend,M:2011-01,1,points,100
ann,two-first,M:2011-01,1,points,25
ann,welcome,-,1,points,50
LEDGER
campaign=$here/small_campaign.xml

for batch in 1 3 256; do
  dir=$work/memory-$batch
  must_run "$campaign" "$work/orders.csv" "$dir" memory: :memory: --batch "$batch"
  same_ledger "$work/expected.csv" "$dir" "memory, batch $batch"
  summary_has "$dir" duplicates=1 "memory, batch $batch"
done
finish
