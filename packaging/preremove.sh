#!/bin/sh
# Debian says "remove", rpm 0, when the package goes and is not upgraded. What is in
# /var/lib/amends stays.
set -e
case "$1" in
remove | 0)
	if [ -d /run/systemd/system ]; then
		systemctl disable --now amends.service || true
	fi
	;;
esac
