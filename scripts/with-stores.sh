#!/usr/bin/env bash
# with-stores.sh COMMAND...: runs COMMAND with a PostgreSQL and a Redis of its own.
#
# Both listen on loopback on free ports, keep their data in a temporary folder and are stopped when
# COMMAND ends, also on Ctrl-C. COMMAND finds them in IDP_DATABASE_URL and IDP_REDIS_URL.
#
#   scripts/with-stores.sh go test ./consent/...
set -euo pipefail

[ $# -gt 0 ] || { sed -n '2,7s/^# \{0,1\}//p' "$0"; exit 2; }

dir=$(mktemp -d "${TMPDIR:-/tmp}/idp-stores.XXXXXX")
chmod 755 "$dir"
postgres_pid= redis_pid= command_pid=

stop() {
	trap - EXIT INT TERM HUP
	[ -z "$command_pid" ] || stop_command
	[ -z "$postgres_pid" ] || kill -INT "$postgres_pid" 2>/dev/null || true # fast shutdown
	[ -z "$redis_pid" ] || kill -TERM "$redis_pid" 2>/dev/null || true
	wait || true
	rm -rf "$dir"
}
# The command and whatever it started form a process group of their own.
stop_command() {
	kill -TERM -- "-$command_pid" 2>/dev/null || return 0
	for _ in $(seq 50); do
		kill -0 -- "-$command_pid" 2>/dev/null || return 0
		sleep 0.1
	done
	kill -KILL -- "-$command_pid" 2>/dev/null || true
}
trap stop EXIT
trap 'stop; exit 130' INT
trap 'stop; exit 143' TERM HUP

# The server refuses to run as root; so root hands it to the user of the package.
as_postgres() {
	if [ "$(id -u)" = 0 ]; then
		exec setpriv --reuid postgres --regid postgres --init-groups env HOME="$dir" "$@"
	fi
	exec "$@"
}

# A port that is free now; a taken one shows when the server starts, and the next is tried.
port() { echo $((20000 + (RANDOM * 32768 + RANDOM) % 12000)); }

# Debian keeps the server's programs outside PATH, a folder per version.
server_programs() {
	local newest
	newest=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -1)
	echo "${newest:-$(dirname "$(command -v initdb)")}"
}

start_postgres() {
	local bin port
	bin=$(server_programs)
	mkdir "$dir/postgres"
	[ "$(id -u)" != 0 ] || chown postgres "$dir/postgres"
	(as_postgres "$bin/initdb" --pgdata "$dir/postgres/data" --username idp --auth trust \
		--encoding UTF8 --locale C.UTF-8 --no-sync) >"$dir/initdb.log" 2>&1 ||
		{ cat "$dir/initdb.log" >&2; return 1; }
	for _ in 1 2 3 4 5; do
		port=$(port)
		as_postgres "$bin/postgres" -D "$dir/postgres/data" -p "$port" -k "$dir/postgres" \
			-c listen_addresses=127.0.0.1 -c max_connections=400 -c shared_buffers=64MB \
			-c fsync=off -c full_page_writes=off -c log_min_messages=fatal >"$dir/postgres.log" 2>&1 &
		postgres_pid=$!
		if answers "$postgres_pid" "$bin/pg_isready" -q -h 127.0.0.1 -p "$port"; then
			export IDP_DATABASE_URL="postgres://idp@127.0.0.1:$port/postgres?sslmode=disable"
			return
		fi
		give_up "$postgres_pid"
		postgres_pid=
	done
	cat "$dir/postgres.log" >&2
	return 1
}

start_redis() {
	local port
	for _ in 1 2 3 4 5; do
		port=$(port)
		redis-server --port "$port" --bind 127.0.0.1 --dir "$dir" --save "" --appendonly no \
			--maxclients 2000 >"$dir/redis.log" 2>&1 &
		redis_pid=$!
		if answers "$redis_pid" redis-cli -p "$port" ping; then
			# A busy machine is no reason to fail: the product itself waits 100 ms.
			local patience=5s
			export IDP_REDIS_URL="redis://127.0.0.1:$port/0?dial_timeout=$patience&read_timeout=$patience&write_timeout=$patience&pool_timeout=$patience"
			return
		fi
		give_up "$redis_pid"
		redis_pid=
	done
	cat "$dir/redis.log" >&2
	return 1
}

# answers PID PROBE...: waits up to 30 seconds until PROBE succeeds; fails when PID is gone.
answers() {
	local pid=$1
	shift
	for _ in $(seq 300); do
		kill -0 "$pid" 2>/dev/null || return 1
		"$@" >/dev/null 2>&1 && return 0
		sleep 0.1
	done
	return 1
}

give_up() {
	kill -KILL "$1" 2>/dev/null || true
	wait "$1" 2>/dev/null || true
}

start_postgres
start_redis
export STORE_PIDS="$postgres_pid $redis_pid" # benchmarks read their processor time
set -m
"$@" &
command_pid=$!
set +m
status=0
wait "$command_pid" || status=$?
exit "$status"
