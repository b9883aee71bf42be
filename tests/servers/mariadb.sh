#!/usr/bin/env bash
# A private MariaDB server for tests, or to try things by hand. See --help.
set -euo pipefail

usage() {
  cat <<'TEXT'
tests/servers/mariadb.sh run   FOLDER PORT [OPTION]...   in the foreground, until it is killed
tests/servers/mariadb.sh start FOLDER PORT [OPTION]...   in the background; prints a URL when it answers
tests/servers/mariadb.sh stop  FOLDER                    asks it to end
tests/servers/mariadb.sh kill  FOLDER                    kill -9

Its data, log and socket lie in FOLDER, whose path may have 90 bytes. It listens on 127.0.0.1; the user "onceward" with the
password "secret" owns the database "onceward". OPTIONs are the server's ("--innodb-flush-log-at-trx-commit=2").
Exit code 77: there is no mariadbd on this machine.
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

case "$command" in
  run | start)
    PATH=$PATH:/usr/sbin
    if ! command -v mariadbd > /dev/null; then
      echo "there is no mariadbd; install the package mariadb-server" >&2
      exit 77
    fi
    port=$3
    shift 3
    user=()
    if [ "$(id -u)" -eq 0 ]; then user=(--user=root); fi
    # A server that starts removes the temporary tables it finds: in a folder of all, those of others.
    mkdir -p "$folder/tmp"
    if [ ! -d "$folder/data/mysql" ]; then
      mariadb-install-db --no-defaults --datadir="$folder/data" --auth-root-authentication-method=normal --skip-test-db \
        --tmpdir="$folder/tmp" "${user[@]}" > "$folder/install.log" 2>&1
    fi
    cat > "$folder/init.sql" <<'SQL'
CREATE DATABASE IF NOT EXISTS onceward;
CREATE USER IF NOT EXISTS onceward@'127.0.0.1' IDENTIFIED BY 'secret';
CREATE USER IF NOT EXISTS onceward@localhost IDENTIFIED BY 'secret';
GRANT ALL ON *.* TO onceward@'127.0.0.1';
GRANT ALL ON *.* TO onceward@localhost;
SQL
    server=(mariadbd --no-defaults --datadir="$folder/data" --tmpdir="$folder/tmp" --socket="$folder/sock" --port="$port" --bind-address=127.0.0.1
      --skip-name-resolve --pid-file="$folder/mariadb.pid" --log-error="$folder/mariadb.log" --init-file="$folder/init.sql"
      --innodb-buffer-pool-size=128M --innodb-log-file-size=64M --max-connections=300 "${user[@]}" "$@")
    [ "$command" = start ] || exec "${server[@]}"
    "${server[@]}" > /dev/null 2>&1 &
    for _ in $(seq 200); do
      if mariadb -u onceward -psecret -S "$folder/sock" -e 'SELECT 1' onceward > /dev/null 2>&1; then
        echo "mysql://onceward:secret@127.0.0.1:$port/onceward"
        exit 0
      fi
      sleep 0.1
    done
    echo "it does not answer; see $folder/mariadb.log" >&2
    exit 1
    ;;
  stop) kill "$(cat "$folder/mariadb.pid")" ;;
  kill) kill -9 "$(cat "$folder/mariadb.pid")" ;;
  *) usage >&2; exit 2 ;;
esac
