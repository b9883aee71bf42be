#!/usr/bin/env bash
# A private Redis master with a replica and three sentinels, by hand. See --help.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

if [ $# -lt 2 ] || [ "$1" = --help ]; then
  cat <<'TEXT'
tests/servers/redis_sentinel.sh run   FOLDER PORT MASTER_PORT   one sentinel in the foreground, until it is killed
tests/servers/redis_sentinel.sh start FOLDER PORT   a master on PORT, a replica on PORT+1, sentinels on PORT+2 to PORT+4
tests/servers/redis_sentinel.sh stop  FOLDER

The master's name is "onceward". Exit code 77: there is no redis-server on this machine.
TEXT
  [ "${1:-}" = --help ] && exit 0
  exit 2
fi
command -v redis-server > /dev/null || { echo "there is no redis-server; install the package redis-server" >&2; exit 77; }

configure() { # folder, port, master's port
  mkdir -p "$1"
  cat > "$1/sentinel.conf" <<TEXT
port $2
bind 127.0.0.1
protected-mode no
dir $(cd "$1" && pwd)
logfile sentinel.log
pidfile $(cd "$1" && pwd)/redis.pid
sentinel monitor onceward 127.0.0.1 $3 2
sentinel down-after-milliseconds onceward 500
sentinel failover-timeout onceward 3000
TEXT
}

case "$1" in
  run)
    configure "$2" "$3" "$4"
    exec redis-server "$2/sentinel.conf" --sentinel
    ;;
  start)
    "$here/redis.sh" start "$2/master" "$3" > /dev/null
    "$here/redis.sh" start "$2/replica" $(($3 + 1)) --replicaof "127.0.0.1 $3" > /dev/null
    sentinels=()
    for port in $(seq $(($3 + 2)) $(($3 + 4))); do
      configure "$2/$port" "$port" "$3"
      redis-server "$2/$port/sentinel.conf" --sentinel --daemonize yes > /dev/null
      sentinels+=("127.0.0.1:$port")
    done
    (IFS=,; echo "redis+sentinel://${sentinels[*]}/onceward")
    ;;
  stop) for folder in "$2"/*/; do "$here/redis.sh" stop "$folder"; done ;;
  *) "$0" --help >&2; exit 2 ;;
esac
