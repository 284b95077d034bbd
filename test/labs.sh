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
root=$PWD

list=
if [ "${1:-}" = --list ]; then
	list=yes
	shift
fi

# found prints the packages that have files with the tag, each with the tests in them.
found() {
	local dir file
	go list -f '{{.Dir}}' "$@" | while read -r dir; do
		for file in "$dir"/*_test.go; do
			if [ -e "$file" ] && head -1 "$file" | grep -q '^//go:build .*\blab\b'; then
				sed -n "s|^func \(Test[A-Z][A-Za-z0-9]*\)(.*|.${dir#"$PWD"} \1|p" "$file"
			fi
		done
	done | grep -v ' TestMain$' || true
}

# labs runs, or lists, the laboratories of the module in this directory.
labs() {
	local tests names packages
	tests=$(found "$@")
	if [ -z "$tests" ]; then
		echo "no test of $* has the tag lab" >&2
		return 1
	fi
	if [ -n "$list" ]; then
		sed "s|^\.|${PWD/#$root/.}|" <<<"$tests"
		return
	fi
	mapfile -t packages < <(cut -d' ' -f1 <<<"$tests" | sort -u)
	names=$(cut -d' ' -f2 <<<"$tests" | sort -u | paste -sd'|')
	# shellcheck disable=SC2086 # flags are words
	go test -tags lab -count=1 -timeout 60m ${GOTESTFLAGS:-} -run "^($names)\$" "${packages[@]}"
}

# A package below test/ is in the module there.
here=() there=()
if [ $# -eq 0 ]; then here=(./...) there=(./...); fi
for package in "$@"; do
	case $package in
	./test/*) there+=("./${package#./test/}") ;;
	*) here+=("$package") ;;
	esac
done
failed=0
if [ ${#here[@]} -gt 0 ]; then labs "${here[@]}" || failed=1; fi
if [ ${#there[@]} -gt 0 ]; then (cd test && labs "${there[@]}") || failed=1; fi
exit "$failed"
