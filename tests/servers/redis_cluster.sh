#!/usr/bin/env bash
# A private Redis Cluster of 3 masters and 3 replicas, by hand. See --help.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

if [ $# -lt 2 ] || [ "$1" = --help ]; then
  cat <<'TEXT'
tests/servers/redis_cluster.sh start FOLDER PORT   six nodes on PORT to PORT+5; prints the cluster's URL
tests/servers/redis_cluster.sh stop  FOLDER

Exit code 77: there is no redis-server on this machine.
TEXT
  [ "${1:-}" = --help ] && exit 0
  exit 2
fi

case "$1" in
  start)
    nodes=()
    for port in $(seq "$3" $(($3 + 5))); do
      "$here/redis.sh" start "$2/$port" "$port" --cluster-enabled yes --cluster-config-file nodes.conf \
        --cluster-node-timeout 1000 --cluster-port $((port + 1000)) > /dev/null
      nodes+=("127.0.0.1:$port")
    done
    redis-cli --cluster create "${nodes[@]}" --cluster-replicas 1 --cluster-yes > "$2/create.log"
    echo "redis+cluster://127.0.0.1:$3,127.0.0.1:$(($3 + 1))"
    ;;
  stop) for folder in "$2"/*/; do "$here/redis.sh" stop "$folder"; done ;;
  *) "$0" --help >&2; exit 2 ;;
esac
