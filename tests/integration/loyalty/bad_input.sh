#!/bin/bash
# bad_input.sh LOYALTY SQL: whatever is wrong is named with its place, ends with exit code 2, and leaves the stores as
# they were.
loyalty=$1
sql=$2
. "$(dirname "$0")/lib.sh"

cat >"$work/good.csv" <<'ORDERS'
id,type,user,country,at,amount
1,order.paid,ann,UK,2011-01-03T10:00:00Z,1500
2,order.paid,bob,UK,2011-01-04T10:00:00Z,2500
3,order.refunded,ann,UK,2011-01-05T10:00:00Z,500
ORDERS
good=$here/small_campaign.xml
must_run "$good" "$work/good.csv" "$work/made" "sqlite:$work/store.db" "$work/business.db"
must_run "$good" "$work/good.csv" "$work/made" "sqlite:$work/newer.db" :memory:
"$sql" "$work/newer.db" "UPDATE onceward_meta SET value = 999 WHERE name = 'format'"

# refused WHAT PATTERN CAMPAIGN ORDERS [STORAGE [BUSINESS]]: on the stores that are there, and on ones that are not.
refused() {
  local what=$1 pattern=$2 campaign=$3 orders=$4 storage=${5:-} business=${6:-} before status
  local here_storage=${storage:-sqlite:$work/store.db} here_business=${business:-$work/business.db}
  before=$(cd "$work" && sha256sum ./*.db)
  status=0
  timeout 20 "$loyalty" --campaign "$campaign" --events "$orders" --storage "$here_storage" \
    --business "$here_business" --ledger "$work/refused.csv" >"$work/out" 2>"$work/err" || status=$?
  [ "$status" -eq 2 ] || fail "$what: exit code $status"
  grep -qE -- "$pattern" "$work/err" || fail "$what: no \"$pattern\" in: $(cat "$work/err")"
  [ "$before" = "$(cd "$work" && sha256sum ./*.db)" ] || fail "$what: a store was changed"
  [ ! -e "$work/refused.csv" ] || fail "$what: a ledger was written"
  mkdir "$work/empty"
  status=0
  timeout 20 "$loyalty" --campaign "$campaign" --events "$orders" --storage "${storage:-sqlite:$work/empty/s.db}" \
    --business "${business:-$work/empty/b.db}" --ledger "$work/empty/l.csv" >/dev/null 2>&1 || status=$?
  [ "$status" -eq 2 ] || fail "$what, without stores: exit code $status"
  [ -z "$(ls -A "$work/empty")" ] || fail "$what, without stores: left $(ls -A "$work/empty")"
  rm -rf "$work/empty"
}

# bad_campaign WHAT PATTERN SED: the small campaign, changed.
bad_campaign() {
  sed "$3" "$good" >"$work/bad.xml"
  if cmp -s "$good" "$work/bad.xml"; then fail "$1: the campaign was not changed"; fi
  refused "$1" "$2" "$work/bad.xml" "$work/good.csv"
}
bad_campaign "malformed XML" "bad.xml:[0-9]+:[0-9]+: " 's|</task>|</tusk>|'
bad_campaign "cut off XML" "bad.xml:[0-9]+:[0-9]+: " '20,$d'
bad_campaign "unknown step" "bad.xml:[0-9]+:[0-9]+: .*grant-pints@1" 's/grant-points@1/grant-pints@1/'
bad_campaign "unknown XML attribute" "bad.xml:[0-9]+:[0-9]+: .*targit" 's/target="5000"/targit="5000"/'
bad_campaign "unknown element" "bad.xml:[0-9]+:[0-9]+: .*prize" 's|<quota limit="2" per="month"/>|<prize/>|'
bad_campaign "unknown event attribute" "bad.xml:[0-9]+:[0-9]+: .*colour" 's/event.country/event.colour/'
bad_campaign "bad expression" "bad.xml:[0-9]+:[0-9]+: " 's/event.amount &gt;= 1000\|event.amount >= 1000/event.amount >= >= 1000/'
bad_campaign "unknown pipeline" "bad.xml:[0-9]+:[0-9]+: .*gront" 's/pipeline="grant"/pipeline="gront"/'
bad_campaign "unknown time zone" "bad.xml:1:1: unknown-timezone: .*Europe/Nowhere" 's|Europe/London|Europe/Nowhere|'
bad_campaign "expression of the wrong kind" "good.csv:2:1: " 's/event.amount >= 1000/event.country >= 1000/'
refused "no campaign file" "none.xml: No such file" "$work/none.xml" "$work/good.csv"
refused "a campaign that is a folder" "Is a directory" "$work" "$work/good.csv"

# bad_orders WHAT PATTERN: the orders come from the standard input.
bad_orders() {
  cat >"$work/bad.csv"
  refused "$1" "$2" "$good" "$work/bad.csv"
}
head -c -12 "$work/good.csv" | bad_orders "a row cut off" "bad.csv:4:[0-9]+: too few fields: [0-9] instead of 6; .*cut off"
sed '3s/UK/"UK/' "$work/good.csv" | bad_orders "an open quote" "bad.csv:3:18: a quote that is never closed"
sed '3s/$/,7/' "$work/good.csv" | bad_orders "too many fields" "bad.csv:3:[0-9]+: too many fields: 7 instead of 6"
sed '4s/2011-01-05T/2011-01-32T/' "$work/good.csv" | bad_orders "a bad time" "bad.csv:4:[0-9]+: \"2011-01-32T10:00:00Z\""
sed '3s/,bob,/,,/' "$work/good.csv" | bad_orders "no user" "bad.csv:3:14: user is empty"
sed '1s/user/buyer/' "$work/good.csv" | bad_orders "no user column" "bad.csv:1:1: missing columns: customer \(or user\)"
sed '1s/country/type/' "$work/good.csv" | bad_orders "a column twice" "bad.csv:1:14: a second column \"type\""
sed '4s/500$/many/' "$work/good.csv" | bad_orders "a word for a number" "bad.csv:4:1: "
head -c 3000 /dev/urandom | bad_orders "noise" "bad.csv:"
printf '\xef\xbb\xbf' | bad_orders "an empty file with a byte order mark" "bad.csv:1:1: the file is empty"
head -c 28 "$work/good.csv" | bad_orders "a header cut off" "event.amount, which no event has"
: | bad_orders "an empty file" "bad.csv:1:1: the file is empty"
refused "no orders" "none.csv: No such file" "$good" "$work/none.csv"

refused "unknown storage" "the scheme \"oracle\" is not known" "$good" "$work/good.csv" oracle:x
refused "no scheme" "there is no scheme" "$good" "$work/good.csv" store.db
refused "unknown storage option" "no option \"colour\"" "$good" "$work/good.csv" "sqlite:$work/store.db?colour=red"
refused "a folder that is not there" "there is no folder" "$good" "$work/good.csv" "sqlite:$work/none/s.db"
refused "a newer format" "newer.db\" has format 999" "$good" "$work/good.csv" "sqlite:$work/newer.db"
head -c 8192 /dev/urandom >"$work/noise.db"
refused "a storage that is no database" "noise.db" "$good" "$work/good.csv" "sqlite:$work/noise.db"
refused "a business file that is no database" "noise.db" "$good" "$work/good.csv" "" "$work/noise.db"
refused "the storage as business file" "is also the business file; each needs a file of its own" "$good" "$work/good.csv" \
  "" "$work/store.db"
mkdir "$work/new"
for ledger in out.csv "$work/new/business.db"; do
  status=0
  business=business.db
  [ "$ledger" = out.csv ] && business=$work/new/../new/store.db
  (cd "$work/new" && "$loyalty" --campaign "$good" --events "$work/good.csv" --storage sqlite:store.db \
    --business "$business" --ledger "$ledger") >"$work/out" 2>"$work/err" || status=$?
  [ "$status" -eq 2 ] || fail "one new file under two names: exit code $status"
  grep -q "each needs a file of its own" "$work/err" || fail "one new file under two names: $(cat "$work/err")"
  [ -z "$(ls -A "$work/new")" ] || fail "one new file under two names: left $(ls -A "$work/new")"
done
chmod a-w "$work/store.db" "$work/business.db"
refused "a read-only storage" "store.db is read-only" "$good" "$work/good.csv" "sqlite:$work/store.db" :memory:
refused "a read-only business file" "business.db is read-only" "$good" "$work/good.csv" memory: "$work/business.db"
chmod u+w "$work/store.db" "$work/business.db"

# A changed campaign under the old versions: versions are immutable.
bad_publish=$work/changed.xml
sed 's/target="5000"/target="6000"/' "$good" >"$bad_publish"
status=0
before=$(sha256sum "$work/business.db")
run "$bad_publish" "$work/good.csv" "$work/made" "sqlite:$work/store.db" "$work/business.db" || status=$?
[ "$status" -eq 2 ] || fail "a changed version: exit code $status"
grep -q spend "$work/made/err" || fail "a changed version: the task is not named: $(cat "$work/made/err")"
[ "$before" = "$(sha256sum "$work/business.db")" ] || fail "a changed version: the business file was changed"

# An id that comes again with another content.
sed '4s/^3/1/' "$work/good.csv" >"$work/twice.csv"
status=0
run "$good" "$work/twice.csv" "$work/made" memory: :memory: || status=$?
[ "$status" -eq 2 ] || fail "an id with two contents: exit code $status"
grep -q "twice.csv:4:1: " "$work/made/err" || fail "an id with two contents: no place in: $(cat "$work/made/err")"

# Options.
status=0
"$loyalty" --campaign x 2>"$work/err" || status=$?
[ "$status" -eq 2 ] && grep -q "missing: --events" "$work/err" || fail "missing options: $status, $(cat "$work/err")"
"$loyalty" --help | grep -q -- --crash-at || fail "--help does not list the options"
finish
