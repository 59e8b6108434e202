#!/bin/sh
# On a merge request: comment.md for people, plan.json for programs, plan.age for `apply.sh` on the merge.
# plan.sh INVENTORY FOLDER: prints whether there is something to change; ends with the code of `deploy` where it fails.
set -eu
[ $# -eq 2 ] || { echo "usage: plan.sh INVENTORY FOLDER" >&2; exit 1; }
inventory=$1
folder=$2
mkdir -p "$folder"
# Nothing of an earlier one is taken for this one's.
rm -f "$folder/plan.age" "$folder/plan.json" "$folder/comment.md"
status=0
deploy plan "$inventory" --detailed-exitcode --markdown --json-into "$folder/plan.json" --out "$folder/plan.age" \
    >"$folder/comment.md" || status=$?
case $status in
0) echo "changes=no" ;;
2) echo "changes=yes" ;;
*) exit "$status" ;;
esac
