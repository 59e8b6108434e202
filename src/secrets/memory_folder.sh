#!/bin/sh
# memory_folder.sh FOLDER: removes FOLDER as soon as whoever holds the other end of standard input is gone, however
# that happened. Each line names the process that works in FOLDER, or is empty while none does.
trap '' HUP INT QUIT TERM
worker=
while read -r line; do worker=$line; done
rm -rf -- "$1"
[ -z "$worker" ] || kill -HUP "$worker"
# The worker may have written while it was removed.
for _ in 1 2 3 4 5; do
    [ -e "$1" ] || exit 0
    sleep 1
    rm -rf -- "$1"
done
