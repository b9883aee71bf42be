#!/usr/bin/env bash
# A private Galera cluster of two MariaDB nodes for tests, or to try things by hand. See --help.
set -euo pipefail

usage() {
  cat <<'TEXT'
tests/servers/galera.sh prepare FOLDER PORT              makes the data of both nodes; PORT and the next are free
tests/servers/galera.sh run     FOLDER PORT NODE         node 0 or 1 in the foreground, until it is killed; 0 first
tests/servers/galera.sh start   FOLDER PORT              prepares, starts both in the background, prints their URLs
tests/servers/galera.sh stop    FOLDER                   asks both to end
tests/servers/galera.sh kill    FOLDER NODE              kill -9

Node N listens on 127.0.0.1 at PORT+N, and to the other node at PORT+2+N (with PORT+4+N for what it missed): six
ports in a row. The user "onceward" with the password "secret" owns the database "onceward". Node 0 has the larger
weight: it stays primary when node 1 dies.
Exit code 77: there is no mariadbd or no Galera library on this machine.
TEXT
}

command=${1:-}
if [ "$command" = --help ] || [ $# -lt 2 ]; then
  usage
  [ "$command" = --help ] && exit 0
  exit 2
fi
mkdir -p "$2"
folder=$(cd "$2" && pwd)
PATH=$PATH:/usr/sbin
provider=$(find /usr/lib /usr/lib64 -name libgalera_smm.so 2> /dev/null | head -1 || true)
user=()
if [ "$(id -u)" -eq 0 ]; then user=(--user=root); fi

server() { # node, first port, more settings...
  local node=$1 port=$2
  shift 2
  mkdir -p "$folder/$node/tmp"  # its own: a server that starts removes the temporary tables of others
  printf '%s\n' mariadbd --no-defaults --datadir="$folder/$node/data" --tmpdir="$folder/$node/tmp" --socket="$folder/$node/sock" --port=$((port + node)) \
    --bind-address=127.0.0.1 --skip-name-resolve --pid-file="$folder/$node/mariadb.pid" --log-error="$folder/$node/mariadb.log" \
    --innodb-buffer-pool-size=64M --innodb-log-file-size=32M --innodb-flush-log-at-trx-commit=2 --max-connections=300 \
    --binlog-format=ROW --innodb-autoinc-lock-mode=2 --wsrep-on=ON --wsrep-provider="$provider" --wsrep-sst-method=skip \
    --wsrep-cluster-name=onceward --wsrep-node-name="node$node" --wsrep-node-address=127.0.0.1 \
    --wsrep-provider-options="gmcast.listen_addr=tcp://127.0.0.1:$((port + 2 + node));ist.recv_addr=127.0.0.1:$((port + 4 + node));gcache.size=16M;pc.weight=$((2 - node));evs.keepalive_period=PT0.3S;evs.suspect_timeout=PT1S;evs.inactive_timeout=PT2S" \
    "${user[@]}" "$@"
}

answers() { mariadb -u onceward -psecret -S "$folder/$1/sock" -e "SHOW STATUS LIKE 'wsrep_ready'" onceward 2> /dev/null | grep -q ON; }

wait_for() { # node
  for _ in $(seq 300); do
    if answers "$1"; then return 0; fi
    sleep 0.1
  done
  echo "node $1 does not answer; see $folder/$1/mariadb.log" >&2
  return 1
}

case "$command" in
  prepare | run | start)
    if ! command -v mariadbd > /dev/null || [ -z "$provider" ]; then
      echo "there is no mariadbd, or no libgalera_smm.so; install the packages mariadb-server and galera-4" >&2
      exit 77
    fi
    ;;
esac

case "$command" in
  prepare)
    mkdir -p "$folder/0/tmp" "$folder/1"
    mariadb-install-db --no-defaults --datadir="$folder/0/data" --auth-root-authentication-method=normal --skip-test-db \
      --tmpdir="$folder/0/tmp" "${user[@]}" > "$folder/install.log" 2>&1
    cat > "$folder/init.sql" <<'SQL'
CREATE DATABASE IF NOT EXISTS onceward;
CREATE USER IF NOT EXISTS onceward@'127.0.0.1' IDENTIFIED BY 'secret';
CREATE USER IF NOT EXISTS onceward@localhost IDENTIFIED BY 'secret';
GRANT ALL ON *.* TO onceward@'127.0.0.1';
GRANT ALL ON *.* TO onceward@localhost;
SQL
    # The second node begins as a copy of the first: then it needs no transfer of state when it joins. What is written at
    # the start is written once, here.
    mapfile -t words < <(server 0 "$3" --wsrep-new-cluster --wsrep-cluster-address=gcomm:// --init-file="$folder/init.sql")
    "${words[@]}" > /dev/null 2>&1 &
    first=$!
    wait_for 0
    kill "$first"
    wait "$first" || true
    rm -rf "$folder/1/data"
    cp -r "$folder/0/data" "$folder/1/data"
    rm -f "$folder/1/data/galera.cache" "$folder/1/data/gvwstate.dat"
    touch "$folder/1/fresh"
    ;;
  run)
    node=$4
    if [ "$node" = 0 ]; then
      mapfile -t words < <(server 0 "$3" --wsrep-new-cluster --wsrep-cluster-address=gcomm://)
    else
      # Since the copy was made node 0 has written nothing but the views of the cluster, which are no data: a node that says
      # it has them needs no transfer, which programs that may be missing would have to make.
      if [ -f "$folder/1/fresh" ]; then
        seqno=$(mariadb -u onceward -psecret -S "$folder/0/sock" -BNe "SHOW STATUS LIKE 'wsrep_last_committed'" | cut -f2)
        sed -i "s/^seqno:.*/seqno:   $seqno/" "$folder/1/data/grastate.dat"
        rm "$folder/1/fresh"
      fi
      mapfile -t words < <(server 1 "$3" --wsrep-cluster-address="gcomm://127.0.0.1:$(($3 + 2))")
    fi
    exec "${words[@]}"
    ;;
  start)
    "$0" prepare "$2" "$3"
    "$0" run "$2" "$3" 0 > /dev/null 2>&1 &
    wait_for 0
    "$0" run "$2" "$3" 1 > /dev/null 2>&1 &
    wait_for 1
    for node in 0 1; do echo "mysql://onceward:secret@127.0.0.1:$(($3 + node))/onceward"; done
    ;;
  stop) for node in 1 0; do kill "$(cat "$folder/$node/mariadb.pid")"; done ;;
  kill) kill -9 "$(cat "$folder/$3/mariadb.pid")" ;;
  *) usage >&2; exit 2 ;;
esac
