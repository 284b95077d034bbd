#!/bin/sh
# The service is not started: it is configured first.
set -e
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
	# An upgrade goes on with the new program.
	systemctl try-restart amends.service || true
fi
