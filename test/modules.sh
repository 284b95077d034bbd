#!/usr/bin/env bash
# Runs a command in each of the modules that are this repository's own code: the one that is
# released, and the one of the tests that need more (docs/adr/0038-test-module.md).
#
#	test/modules.sh go vet ./...
#	test/modules.sh --list
#
# It goes on after a failure, and fails at the end.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
modules=(. test)
if [ "${1:-}" = --list ]; then
	printf '%s\n' "${modules[@]}"
	exit
fi
failed=0
for module in "${modules[@]}"; do
	(cd "$module" && "$@") || failed=1
done
exit "$failed"
