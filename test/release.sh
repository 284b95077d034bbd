#!/usr/bin/env bash
# What a release consists of (.goreleaser.yaml), and a look at it.
#
#	test/release.sh                    build a snapshot without a registry, and check it
#	test/release.sh here               the same for this system alone: quicker
#	test/release.sh notes v0.1.0       print the section of CHANGELOG.md
#	test/release.sh publish notes.md   build the tag that is checked out, and publish it
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# The programs that build a release, in the versions of tools/release/go.mod.
tools() {
	tool_dir=$(mktemp -d)
	trap 'rm -rf "$tool_dir"' EXIT
	echo "compile goreleaser, which takes minutes the first time"
	(cd tools/release && GOBIN=$tool_dir go install tool)
	PATH=$tool_dir:$PATH
}

notes() {
	local version=${1#v} text
	text=$(awk -v want="## [$version]" '
		index($0, "## ") == 1 { on = index($0, want) == 1; next }
		on { print }
	' CHANGELOG.md)
	if [ -z "${text//[[:space:]]/}" ]; then
		echo "CHANGELOG.md has no section \"## [$version] - <date>\": write it before the tag" >&2
		return 1
	fi
	printf '%s\n' "$text"
}

# release runs goreleaser with the version of Go that builds releases.
release() { GOTOOLCHAIN=$(cat .ci/toolchain) goreleaser release "$@"; }

# wrong says what is wrong, and counts.
problems=0
wrong() {
	echo "wrong: $*" >&2
	problems=$((problems + 1))
}

# look checks what was built: everything is there, it runs, and says which version it is.
look() {
	local version system want file
	system=linux_amd64
	version=$(sed -n 's/.*"version": *"\([^"]*\)".*/\1/p' dist/metadata.json)
	local wanted=(linux_amd64.tar.gz linux_amd64.cdx.json) packages=(amd64.deb x86_64.rpm)
	if [ "$1" = all ]; then
		wanted+=(linux_arm64.tar.gz darwin_amd64.tar.gz darwin_arm64.tar.gz windows_amd64.zip linux_arm64.cdx.json)
		packages+=(arm64.deb aarch64.rpm)
	fi
	for want in "${wanted[@]}"; do
		[ -s "dist/amends_${version}_$want" ] || wrong "there is no dist/amends_${version}_$want"
	done
	for want in "${packages[@]}"; do
		file=$(compgen -G "dist/amends*$want") || wrong "there is no package for $want"
	done
	(cd dist && sha256sum --quiet --check checksums.txt) || wrong "checksums.txt does not fit"

	rm -rf dist/look
	mkdir -p dist/look/archive dist/look/deb
	tar -xzf "dist/amends_${version}_$system.tar.gz" -C dist/look/archive
	for file in coordinator LICENSE README.md CHANGELOG.md amends.service coordinator.yaml; do
		[ -s "dist/look/archive/$file" ] || wrong "the archive has no $file"
	done
	dist/look/archive/coordinator --version
	dist/look/archive/coordinator --version | grep -q '^amends coordinator v[0-9]' || wrong "the program does not say its version"
	[[ $(go version dist/look/archive/coordinator) == *": $(cat .ci/toolchain)" ]] || wrong "the program is not built with $(cat .ci/toolchain)"
	dist/look/archive/coordinator config check --config packaging/coordinator.yaml --data-dir dist/look/data >/dev/null ||
		wrong "packaging/coordinator.yaml is no configuration"

	if command -v dpkg-deb >/dev/null; then
		file=$(compgen -G "dist/amends*amd64.deb")
		dpkg-deb --extract "$file" dist/look/deb
		for want in usr/bin/coordinator lib/systemd/system/amends.service etc/amends/coordinator.yaml usr/share/doc/amends/LICENSE; do
			[ -s "dist/look/deb/$want" ] || wrong "the package has no /$want"
		done
		dpkg-deb --info "$file" conffiles | grep -qx /etc/amends/coordinator.yaml || wrong "an upgrade would overwrite /etc/amends/coordinator.yaml"
	fi
	grep -q '"purl": "pkg:golang/go.etcd.io/bbolt@' "dist/amends_${version}_linux_amd64.cdx.json" || wrong "the bill of materials does not name bbolt"
	if [ "$problems" -gt 0 ]; then
		echo "$problems of what a release needs is wrong" >&2
		return 1
	fi
	rm -rf dist/look
	echo "a release of $version would be whole: $(find dist -maxdepth 1 -name 'amends*' | wc -l) files"
}

case ${1:-build} in
build)
	tools
	goreleaser check
	release --snapshot --clean --skip=publish,docker
	look all
	;;
here)
	tools
	goreleaser check
	sed 's/^\( *\)goos: \[.*/\1goos: [linux]/; s/^\( *\)goarch: \[.*/\1goarch: [amd64]/' .goreleaser.yaml >"$tool_dir/here.yaml"
	release --config "$tool_dir/here.yaml" --snapshot --clean --skip=publish,docker
	look here
	;;
notes) notes "${2:?which version}" ;;
publish)
	tools
	release --clean --release-notes "${2:?the file with the notes}"
	look all
	;;
*)
	sed -n '2,/^set/p' "$0" | sed '$d; s/^# \{0,1\}//' >&2
	exit 2
	;;
esac
