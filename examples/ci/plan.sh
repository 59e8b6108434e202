#!/bin/sh
# On a merge request: comment.md for people, plan.json for programs, plan.age for `apply.sh` on the merge.
# plan.sh INVENTORY FOLDER: prints whether there is something to change; ends with the code of `deploy` where it fails.
set -eu
inventory=${1:?inventory}
folder=${2:?folder}
mkdir -p "$folder"
status=0
deploy plan "$inventory" --detailed-exitcode --markdown --json-into "$folder/plan.json" --out "$folder/plan.age" \
    >"$folder/comment.md" || status=$?
case $status in
0) echo "changes=no" ;;
2) echo "changes=yes" ;;
*) exit "$status" ;;
esac
