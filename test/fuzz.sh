#!/usr/bin/env bash
# Runs every fuzz target of the repository, one after the other, and prints one
# line for each: target, inputs tried, result. Fails at the end if one failed.
#
#	test/fuzz.sh 10s        ten seconds each
#	test/fuzz.sh 20000x     20,000 inputs each
#	test/fuzz.sh 10s 'Parse|Cursor' ./saga/... ./store/...
#
# What a run finds it writes into testdata/fuzz of the package: fix the code and
# commit the file, and every later "go test" tries it again.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
time=${1:-10s}
names=${2:-.}
if [ $# -gt 2 ]; then shift 2; else set -- ./...; fi

# What guides the choice of inputs: which code each of them has run. "go test -fuzz"
# counts that in every package of the test program, and reads and clears all the
# counters for every input, which costs ten times what a decoder does with it. Here
# the decoders are counted, and the reader of YAML that one of them stands on.
guide=(-gcflags='github.com/amends-dev/amends/...=-d=libfuzzer' -gcflags='go.yaml.in/yaml/...=-d=libfuzzer')

out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
failed=()
while read -r dir; do
	# Compiled once for all targets of the package.
	binary=
	package=${dir#"$PWD"/}
	for target in $(cat "$dir"/*_test.go | sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' | grep -E -- "$names" | sort); do
		name="$package $target"
		if [ -z "$binary" ]; then
			binary=$out/test
			go test -c "${guide[@]}" -o "$binary" "$dir"
		fi
		# Minimising without a bound stalls a run (-test.fuzzminimizetime).
		code=0
		(cd "$dir" && "$binary" -test.run='^$' -test.fuzz="^$target\$" -test.fuzztime="$time" -test.fuzzminimizetime=10x \
			-test.fuzzcachedir="$(go env GOCACHE)/fuzz/amends/$package" -test.timeout=0) >"$out/log" 2>&1 || code=$?
		inputs=$(sed -n 's/.*execs: \([0-9]*\).*/\1/p' "$out/log" | tail -1)
		if [ "$code" -eq 0 ]; then
			printf '%-60s %12s inputs  ok\n' "$name" "${inputs:-0}"
		else
			failed+=("$name")
			printf '%-60s %12s inputs  FAILED\n' "$name" "${inputs:-0}"
			cat "$out/log"
		fi
	done
done < <(go list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.Dir}}{{end}}' "$@" | while read -r dir; do
	if grep -q '^func Fuzz' "$dir"/*_test.go; then echo "$dir"; fi
done)
if [ ${#failed[@]} -gt 0 ]; then
	printf 'FAILED: %s\n' "${failed[@]}"
	exit 1
fi
