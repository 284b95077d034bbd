#!/usr/bin/env bash
# Brings the checkout up in containers, kills, pauses and restarts parts of it
# while customers place orders, prints the audit, and takes everything down. The
# exit code is that of the audit.
#
#	examples/order-checkout/compose-test.sh
#
# It needs docker, and docker compose (v2) or docker-compose (1.29). It uses a
# project name and ports of its own, so it does not disturb a demo that is up.
#
#	ORDERS=100 SEED=1 EVERY=250ms    what the customers order
#	KEEP=1                          leave everything up at the end
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

export COMPOSE_PROJECT_NAME=${COMPOSE_PROJECT_NAME:-amends-test-$$}
export NATS_PORT=${NATS_PORT:-0} HTTP_PORT=${HTTP_PORT:-0} # any free ones
export ORDERS=${ORDERS:-100} SEED=${SEED:-1} EVERY=${EVERY:-250ms}

if docker compose version >/dev/null 2>&1; then
	compose() { docker compose "$@"; }
else
	compose() { docker-compose "$@"; }
fi

begun=$SECONDS
say() { printf '\n== %3ds  %s\n' $((SECONDS - begun)) "$*"; }
container() { compose ps -a -q "$1" 2>/dev/null || compose ps -q "$1"; }

follower=
finish() {
	local code=$?
	[ -z "$follower" ] || kill "$follower" 2>/dev/null || true
	if [ "$code" -ne 0 ]; then
		say "FAILED (exit code $code); the last words of everybody"
		compose ps || true
		compose logs --no-color --tail=40 || true
	fi
	if [ -n "${KEEP:-}" ]; then
		say "left up: docker compose -p $COMPOSE_PROJECT_NAME down -v takes it down"
	else
		say "take everything down"
		compose down -v --remove-orphans --timeout 5 >/dev/null 2>&1 || true
	fi
	exit "$code"
}
trap finish EXIT
trap 'exit 130' INT TERM

# ended N waits until N orders have ended.
ended() {
	local deadline=$((SECONDS + 300))
	until [ "$(docker logs "$load" 2>&1 | grep -cE '^ *[0-9.]+s [✓⟲✗] ')" -ge "$1" ]; do
		if [ "$(docker inspect -f '{{.State.Running}}' "$load")" != true ] || [ $SECONDS -gt $deadline ]; then
			say "the customers have left, or $1 orders did not end in time"
			return 1
		fi
		sleep 0.5
	done
}

# killed SERVICE kills a container and starts it again, as an operator would:
# docker takes a kill for a decision, and does not restart it by itself.
killed() {
	local id
	id=$(container "$1")
	say "kill -9 $1"
	docker kill "$id" >/dev/null
	sleep "$2"
	say "start $1 again"
	docker start "$id" >/dev/null
}

say "the profile observability, whose images are not started here, is well-formed"
compose --profile observability config -q
# confined SERVICE fails unless the kernel says that what runs there is nobody.
confined() {
	local id status
	id=$(container "$1")
	status=/proc/$(docker inspect -f '{{.State.Pid}}' "$id")/status
	[ -r "$status" ] || return 0 # the engine is on another machine
	if ! awk '/^Uid:/ && $2+$3+$4+$5 == 4*65532 {n++}  /^Cap(Inh|Prm|Eff|Bnd|Amb):\t0+$/ {n++}  /^NoNewPrivs:\t1$/ {n++}  END {exit n != 7}' "$status" ||
		[ "$(docker inspect -f '{{.HostConfig.ReadonlyRootfs}}' "$id")" != true ]; then
		say "$1 may do more than it has to: see x-confined of docker-compose.yml"
		return 1
	fi
}

say "build the image"
compose build coordinator
say "start everything, and wait until it is healthy"
compose up -d --no-build load
load=$(container load)
console=http://$(docker port "$(container coordinator)" 8080/tcp | head -n 1)/
page=$(curl -fsS --max-time 10 "$console")
[[ $page == *'<div id="console">'* ]] || { say "there is no console at $console"; exit 1; }
say "the console is at $console"
for service in nats coordinator order inventory payment shipping load; do confined "$service"; done
docker logs -f "$load" 2>&1 &
follower=$!

ended $((ORDERS / 10))
killed payment 3
ended $((ORDERS / 4))
killed coordinator 2
ended $((ORDERS * 4 / 10))
say "pause inventory"
docker pause "$(container inventory)" >/dev/null
sleep 4
say "let inventory go on"
docker unpause "$(container inventory)" >/dev/null
ended $((ORDERS / 2))
say "restart nats"
docker restart --time 5 "$(container nats)" >/dev/null

code=$(docker wait "$load")
wait "$follower" || true
follower=
if [ "$code" -ne 0 ]; then
	say "the customers gave up (exit code $code)"
	exit 1
fi
say "payment was restarted by the engine $(docker inspect -f '{{.RestartCount}}' "$(container payment)") times, after crashes that orders asked for"
say "the audit"
compose run --rm --no-deps audit
