#!/usr/bin/env bash
# Runs go test ./... again and again on a machine that is busy with something else: four
# endless loops for each core. Each run prints its wall time and the processor time that
# it took; the first one that fails ends it.
#
#	test/busy.sh        once
#	test/busy.sh 10     ten times
#
# PACKAGES names other packages than all, LOOPS another number of loops (0: none).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
runs=${1:-1}
count=${LOOPS:-$(($(nproc) * 4))}
loops=()
out=$(mktemp)

end() {
	if [ ${#loops[@]} -gt 0 ]; then kill "${loops[@]}" 2>/dev/null || true; fi
	rm -f "$out"
}
trap end EXIT
trap 'exit 130' INT TERM

# shellcheck disable=SC2086 # packages are words
go test -count=1 -run '^$' ${PACKAGES:-./...} >/dev/null # compiles; what is measured is the tests
for ((i = 0; i < count; i++)); do
	(
		trap - EXIT INT TERM
		while :; do :; done
	) &
	loops+=($!)
done
TIMEFORMAT='%0R s, %0U s of user and %0S s of system time'
for ((run = 1; run <= runs; run++)); do
	began=$(date +%T)
	# shellcheck disable=SC2086
	if ! took=$({ time go test -count=1 ${PACKAGES:-./...} >"$out" 2>&1; } 2>&1); then
		cat "$out"
		echo "run $run of $runs beside $count loops FAILED: $took"
		exit 1
	fi
	unexpected=$(grep -v '^ok  \|\[no test files\]$' "$out" || true)
	if [ -n "$unexpected" ]; then
		echo "run $run of $runs printed more than results:"
		echo "$unexpected"
		exit 1
	fi
	echo "$began run $run of $runs beside $count loops: ok, $took"
done
