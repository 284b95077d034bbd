#!/usr/bin/env bash
# Starts throw-away PostgreSQL and MariaDB servers for the tests, and stops them.
#
#   eval "$(test/databases.sh start)"   # installs them on Debian if they are missing and one is root
#   go test ./participant/...
#   test/databases.sh stop
#
# start prints the two lines that tell the tests where the servers are, and
# nothing else on standard output; when the servers run already it only prints.
# The servers listen on loopback, run as an unprivileged user and keep everything
# in one directory that stop removes. They do not sync to disk.
#
# Environment: AMENDS_TEST_DIR (where), AMENDS_TEST_PG_PORT, AMENDS_TEST_MYSQL_PORT.
set -euo pipefail

dir=${AMENDS_TEST_DIR:-${TMPDIR:-/tmp}/amends-test-databases-$(id -u)}
pg_port=${AMENDS_TEST_PG_PORT:-55432}
my_port=${AMENDS_TEST_MYSQL_PORT:-53306}

say() { echo "databases: $*" >&2; }
die() { say "$*"; exit 1; }

# pg_tool NAME finds a program of PostgreSQL: Debian keeps them out of PATH.
pg_tool() {
	local found
	found=$(ls /usr/lib/postgresql/*/bin/"$1" 2>/dev/null | sort -V | tail -1) || true
	[ -n "$found" ] && echo "$found" || command -v "$1"
}

my_server() { command -v mariadbd || command -v mysqld || ls /usr/sbin/mariadbd 2>/dev/null; }

install_missing() {
	local packages=()
	[ -n "$(pg_tool initdb)" ] || packages+=(postgresql)
	[ -n "$(my_server)" ] || packages+=(mariadb-server)
	[ ${#packages[@]} -gt 0 ] || return 0
	[ "$(id -u)" = 0 ] || die "missing: ${packages[*]}. Install them, or run this as root on Debian."
	command -v apt-get >/dev/null || die "missing: ${packages[*]}, and there is no apt-get to install them."
	say "installing ${packages[*]}"
	# The packages would start servers of their own; this file tells them not to.
	local policy=/usr/sbin/policy-rc.d made=
	if [ ! -e $policy ]; then
		printf '#!/bin/sh\nexit 101\n' >$policy
		chmod +x $policy
		made=1
	fi
	local ok=1
	{ apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}"; } >&2 || ok=
	[ -z "$made" ] || rm -f $policy
	[ -n "$ok" ] || die "installing ${packages[*]} failed, see above"
}

# as USER COMMAND... runs a command as an unprivileged user if one is root.
as() {
	local user=$1
	shift
	if [ "$(id -u)" = 0 ]; then setpriv --reuid="$user" --regid="$(id -g "$user")" --clear-groups "$@"; else "$@"; fi
}

alive() { [ -s "$1" ] && kill -0 "$(head -1 "$1")" 2>/dev/null; }

# until_ready SECONDS LOG COMMAND... waits until the command succeeds.
until_ready() {
	local deadline=$((SECONDS + $1)) log=$2
	shift 2
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $deadline ] || { tail -20 "$log" >&2; die "no server after waiting for: $*"; }
		sleep 0.1
	done
}

start_postgres() {
	local data=$dir/postgres log=$dir/postgres/server.log
	alive "$data/data/postmaster.pid" && [ -e "$data/ready" ] && return 0
	end "$data/data/postmaster.pid"
	rm -rf "$data" && mkdir -p "$data" && chmod 755 "$dir"
	[ "$(id -u)" != 0 ] || chown postgres "$data"
	as postgres "$(pg_tool initdb)" -D "$data/data" -U amends -A trust -E UTF8 --locale=C --no-sync >"$data/initdb.log" 2>&1 ||
		{ cat "$data/initdb.log" >&2; die "initdb failed"; }
	say "starting PostgreSQL on 127.0.0.1:$pg_port"
	as postgres "$(pg_tool postgres)" -D "$data/data" -p "$pg_port" -k "$data" -c listen_addresses=127.0.0.1 \
		-c fsync=off -c full_page_writes=off -c max_connections=200 >"$log" 2>&1 </dev/null &
	until_ready 60 "$log" "$(pg_tool psql)" -h 127.0.0.1 -p "$pg_port" -U amends -d postgres -c 'SELECT 1'
	"$(pg_tool psql)" -q -h 127.0.0.1 -p "$pg_port" -U amends -d postgres -c 'CREATE DATABASE amends' >&2
	touch "$data/ready"
}

start_mariadb() {
	local data=$dir/mariadb log=$dir/mariadb/server.log user server
	alive "$data/server.pid" && [ -e "$data/ready" ] && return 0
	end "$data/server.pid"
	user=$(id -un)
	[ "$(id -u)" != 0 ] || user=mysql
	server=$(my_server | head -1)
	rm -rf "$data" && mkdir -p "$data" && chmod 755 "$dir"
	[ "$(id -u)" != 0 ] || chown mysql "$data"
	as "$user" mariadb-install-db --no-defaults --datadir="$data/data" --auth-root-authentication-method=normal --skip-test-db >"$data/install.log" 2>&1 ||
		{ cat "$data/install.log" >&2; die "mariadb-install-db failed"; }
	say "starting MariaDB on 127.0.0.1:$my_port"
	as "$user" "$server" --no-defaults --datadir="$data/data" --socket="$data/socket" --pid-file="$data/server.pid" \
		--port="$my_port" --bind-address=127.0.0.1 --innodb-flush-log-at-trx-commit=0 --max-connections=200 >"$log" 2>&1 </dev/null &
	until_ready 60 "$log" mariadb --no-defaults --socket="$data/socket" -u root -e 'SELECT 1'
	mariadb --no-defaults --socket="$data/socket" -u root -e "
		CREATE DATABASE amends;
		CREATE USER 'amends'@'%' IDENTIFIED BY 'amends';
		GRANT ALL ON amends.* TO 'amends'@'%';" >&2
	touch "$data/ready"
}

# end PIDFILE ends a server that start has started, and waits for it.
end() {
	alive "$1" || return 0
	local pid
	pid=$(head -1 "$1")
	kill -INT "$pid" 2>/dev/null || true # PostgreSQL: fast shutdown
	kill -TERM "$pid" 2>/dev/null || true
	for _ in $(seq 100); do
		kill -0 "$pid" 2>/dev/null || return 0
		sleep 0.1
	done
	kill -KILL "$pid" 2>/dev/null || true
}

case "${1:-}" in
start)
	install_missing
	mkdir -p "$dir"
	start_postgres
	start_mariadb
	echo "export AMENDS_TEST_POSTGRES='postgres://amends@127.0.0.1:$pg_port/amends?sslmode=disable'"
	echo "export AMENDS_TEST_MYSQL='amends:amends@tcp(127.0.0.1:$my_port)/amends'"
	;;
stop)
	end "$dir/postgres/data/postmaster.pid"
	end "$dir/mariadb/server.pid"
	rm -rf "$dir"
	;;
*)
	sed -n '2,/^set /p' "$0" | sed '$d; s/^# \{0,1\}//' >&2
	exit 2
	;;
esac
