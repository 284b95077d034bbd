#!/usr/bin/env bash
# Runs the benchmarks of the parts briefly, for this tree and for an older one in
# turns, and prints benchstat's comparison: a report, in less than a minute.
#
#	test/benchstat.sh             against the last tag; without one the last commit,
#	                              or its parent when nothing is changed beside it
#	test/benchstat.sh v0.3.0      against this commit
#	test/benchstat.sh --record    writes docs/benchmarks/baseline.txt
#
# Where the history is not at hand (a shallow checkout) the comparison is with
# docs/benchmarks/baseline.txt, from another machine: then only counts (allocs/op,
# B-written/saga) say something. It fails when a benchmark of this tree does not
# compile or run, and never on account of a figure. ROUNDS=20 for more certainty.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
repo=$PWD
recorded=docs/benchmarks/baseline.txt
rounds=${ROUNDS:-6}

# package, benchmarks, how much of them. A number of iterations where finding one
# out would cost more than running them.
benchmarks='saga/machine    ^(BenchmarkDecide|BenchmarkMapping)$                       50ms
internal/sagapb ^(BenchmarkAppendInstance|BenchmarkUnmarshalInstance)$ 50ms
store/boltstore ^BenchmarkSagas$/^ordered$/^flight=512$/^group=100$    1000x
transport/natsbus ^(BenchmarkPublish|BenchmarkReceive)$                5000x'

out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

# compile makes the test programs of the tree in $1 into $2.
compile() {
	local packages
	mapfile -t packages < <(awk '{ print "./" $1 }' <<<"$benchmarks")
	mkdir -p "$2"
	(cd "$1" && go test -c -vet=off -ldflags='-s -w' -o "$2/" "${packages[@]}")
}

# round runs every benchmark of the tree in $1 once, with the programs in $2.
round() {
	local package bench much
	while read -r package bench much; do
		(cd "$1/$package" && "$2/${package##*/}.test" -test.run '^$' -test.bench "$bench" -test.benchtime "$much" \
			-test.benchmem -test.timeout 60s) || return
	done <<<"$benchmarks"
}

benchstat() {
	go tool -modfile=tools/benchstat/go.mod benchstat -filter '.unit:(sec/op OR B/op OR allocs/op OR B-written/saga)' "$@"
}

# ran fails unless the output in $1 has every benchmark, which a program that
# knows no benchmark of the name does not say.
ran() {
	local name
	for name in $(grep -o 'Benchmark[A-Za-z]*' <<<"$benchmarks"); do
		grep -q "^$name" "$1" || { echo "$name did not run: see what test/benchstat.sh asks for" >&2; return 1; }
	done
}

# base names the commit to compare with, if it is at hand.
base() {
	local commit=HEAD
	if git diff --quiet HEAD -- '*.go' go.mod go.sum 2>/dev/null; then commit=HEAD^; fi
	git describe --tags --abbrev=0 "$commit" 2>/dev/null || git rev-parse --short --verify --quiet "$commit^{commit}"
}

# other unpacks the commit $1 and compiles its benchmarks.
other() {
	mkdir -p "$out/other"
	git archive "$1" | tar -x -C "$out/other" && compile "$out/other" "$out/programs-other"
}

compile "$repo" "$out/programs"
if [ "${1:-}" = --record ]; then
	for _ in $(seq "$rounds"); do round "$repo" "$out/programs"; done | tee "$out/now.txt"
	ran "$out/now.txt"
	cp "$out/now.txt" "$recorded"
	exit
fi

commit=${1:-$(base || true)}
if [ -n "$commit" ] && ! other "$commit"; then
	echo "the benchmarks of $commit do not compile there" >&2
	commit=
fi
for _ in $(seq "$rounds"); do
	round "$repo" "$out/programs" >>"$out/now.txt" || { cat "$out/now.txt"; exit 1; }
	if [ -n "$commit" ] && ! round "$out/other" "$out/programs-other" >>"$out/other.txt"; then
		echo "a benchmark of $commit does not run there" >&2
		commit=
	fi
done
ran "$out/now.txt"
if [ -n "$commit" ]; then
	benchstat "$commit=$out/other.txt" "this=$out/now.txt"
else
	echo "compared with $recorded, of another machine: mind the counts, not the times"
	benchstat -ignore goos,goarch,cpu "recorded=$recorded" "this=$out/now.txt"
fi
