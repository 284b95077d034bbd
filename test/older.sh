#!/usr/bin/env bash
# Kills a coordinator of an earlier release under load and lets that of this tree go on
# with its store, five times (internal/partition.TestOlderProgram).
#
#	test/older.sh           against the last tag; before the first release, against the
#	                        last commit whose stores have the layout before this one
#	test/older.sh v0.3.0    against this commit
#
# Where the history is not at hand (a shallow checkout) it says so and does nothing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
base=${1:-$(git tag --merged HEAD --sort=-v:refname 2>/dev/null | head -1)}
base=${base:-a54ba08c9db6}
if ! git cat-file -e "$base^{commit}" 2>/dev/null; then
	echo "$base is not in this checkout: fetch the history (git fetch --unshallow) to try an earlier release" >&2
	[ $# -eq 0 ] # asked for by name, that is a failure
	exit
fi
out=$(mktemp -d)
trap 'git worktree remove --force "$out/tree" 2>/dev/null || true; rm -rf "$out"' EXIT
git worktree add --quiet --detach "$out/tree" "$base"
echo "build the coordinator of $base"
(cd "$out/tree" && CGO_ENABLED=0 go build -o "$out/coordinator" ./cmd/coordinator)
go test -tags lab,older ./internal/partition -count=1 -v -run '^TestOlderProgram$' -partition.older="$out/coordinator"
