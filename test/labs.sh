#!/usr/bin/env bash
# Runs the laboratories: every test behind the build tag lab, and nothing else.
#
#	test/labs.sh                  all of them, at the scale of CI (about ten minutes)
#	test/labs.sh ./internal/...   those of these packages
#	test/labs.sh --list           the packages and their tests
#
# What goes to go test as well stands in GOTESTFLAGS, for example -json or -v. Some need
# Linux, root, FUSE or Chromium, and skip with the reason where it is missing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

list=
if [ "${1:-}" = --list ]; then
	list=yes
	shift
fi
if [ $# -eq 0 ]; then set -- ./...; fi

# found prints the packages that have files with the tag, each with the tests in them.
found() {
	local dir file
	go list -f '{{.Dir}}' "$@" | while read -r dir; do
		for file in "$dir"/*_test.go; do
			if [ -e "$file" ] && head -1 "$file" | grep -q '^//go:build .*\blab\b'; then
				sed -n "s|^func \(Test[A-Z][A-Za-z0-9]*\)(.*|./${dir#"$PWD"/} \1|p" "$file"
			fi
		done
	done | grep -v ' TestMain$'
}

tests=$(found "$@" || true)
if [ -z "$tests" ]; then
	echo "no test of $* has the tag lab" >&2
	exit 1
fi
if [ -n "$list" ]; then
	echo "$tests"
	exit
fi
mapfile -t packages < <(cut -d' ' -f1 <<<"$tests" | sort -u)
names=$(cut -d' ' -f2 <<<"$tests" | sort -u | paste -sd'|')
# shellcheck disable=SC2086 # flags are words
exec go test -tags lab -count=1 -timeout 60m ${GOTESTFLAGS:-} -run "^($names)\$" "${packages[@]}"
