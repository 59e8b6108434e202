#!/bin/sh
# On the merge: carries out the plan that was looked at, and nothing else.
# apply.sh INVENTORY FOLDER: 10 says that something has moved since, and that a new plan has to be looked at.
set -eu
[ $# -eq 2 ] || { echo "usage: apply.sh INVENTORY FOLDER" >&2; exit 1; }
inventory=$1
folder=$2
deploy apply "$inventory" --plan "$folder/plan.age" --log "$folder/apply.log"
