#!/usr/bin/env bash
# A private Redis server for tests, or to try things by hand. See --help.
set -euo pipefail

usage() {
  cat <<'TEXT'
tests/servers/redis.sh run   FOLDER PORT [SETTING VALUE]...   in the foreground, until it is killed
tests/servers/redis.sh start FOLDER PORT [SETTING VALUE]...   in the background; prints its URL when it answers
tests/servers/redis.sh stop  FOLDER                           asks it to save and end
tests/servers/redis.sh kill  FOLDER                           kill -9

Its data, log and socket lie in FOLDER. It listens on 127.0.0.1 and writes every second to an append-only file, unless a
SETTING says otherwise ("--appendfsync always"). Exit code 77: there is no redis-server on this machine.
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

settings() { # port, more settings...
  local port=$1
  shift
  printf '%s\n' --port "$port" --bind 127.0.0.1 --dir "$folder" --pidfile "$folder/redis.pid" \
    --appendonly yes --save "" --maxmemory-policy noeviction --protected-mode no --daemonize no \
    --logfile "$folder/redis.log" "$@"
  # A socket's path has at most 107 bytes.
  if [ ${#folder} -lt 90 ]; then printf '%s\n' --unixsocket "$folder/redis.sock"; fi
}

case "$command" in
  run | start)
    if ! command -v redis-server > /dev/null; then
      echo "there is no redis-server; install the package redis-server" >&2
      exit 77
    fi
    port=$3
    shift 3
    mapfile -t arguments < <(settings "$port" "$@")
    [ "$command" = start ] || exec redis-server "${arguments[@]}"
    redis-server "${arguments[@]}" > /dev/null &
    for _ in $(seq 100); do
      if redis-cli -p "$port" ping 2> /dev/null | grep -q PONG; then
        echo "redis://127.0.0.1:$port"
        exit 0
      fi
      sleep 0.05
    done
    echo "it does not answer; see $folder/redis.log" >&2
    exit 1
    ;;
  stop) kill "$(cat "$folder/redis.pid")" ;;
  kill) kill -9 "$(cat "$folder/redis.pid")" ;;
  *) usage >&2; exit 2 ;;
esac
