#!/bin/sh
# The last lines of the journals of the units that are named, each behind a -u.
journalctl -q --no-pager -o cat -n 20 "$@"
