#!/bin/sh
# memory_folder.sh FOLDER: removes FOLDER as soon as whoever holds the other end of standard input is gone, however
# that happened. Each line names the process that works in FOLDER, or is empty while none does.
trap '' HUP INT QUIT TERM
worker=
while read -r line; do worker=$line; done
rm -rf -- "$1"
[ -z "$worker" ] || kill -HUP "$worker"
[ -n "$worker" ] || [ -e "$1" ] || exit 0
# The worker may have written while it was removed; and where hanging up is ignored, it is told once more.
for _ in 1 2 3 4 5; do
    sleep 1
    if [ -n "$worker" ] && kill -TERM "$worker" 2>/dev/null; then continue; fi
    [ -e "$1" ] || exit 0
    rm -rf -- "$1"
done
rm -rf -- "$1"
