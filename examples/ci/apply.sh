#!/bin/sh
# On the merge: carries out the plan that was looked at, and nothing else. Passwords that it is the first to need were made with the
# plan, and are in the store of this checkout from then on: a store that has changed goes to the branch where it is kept.
# apply.sh INVENTORY FOLDER BRANCH: 10 says that something has moved since, and that a new plan has to be looked at.
set -eu
[ $# -eq 3 ] || { echo "usage: apply.sh INVENTORY FOLDER BRANCH" >&2; exit 1; }
inventory=$1
folder=$2
branch=$3
if [ -d "$inventory" ]; then home=$inventory; else home=$(dirname -- "$inventory"); fi
store=$(git -C "$home" rev-parse --show-prefix)secrets.age

# The store as it is there now: a job that is run again finds in it what it has kept itself.
git -C "$home" fetch --quiet origin "$branch"
before=$(git -C "$home" rev-parse "FETCH_HEAD:$store")
git -C "$home" cat-file blob "$before" >"$home/secrets.age"
status=0
deploy apply "$inventory" --plan "$folder/plan.age" --log "$folder/apply.log" || status=$?
[ "$(git -C "$home" hash-object --no-filters secrets.age)" != "$before" ] || exit $status

# keep TREE : commits the store on top of the branch as it is by now, unless somebody else has changed it there.
keep() {
    git -C "$home" fetch --quiet origin "$branch" &&
        [ "$(git -C "$home" rev-parse "FETCH_HEAD:$store")" = "$before" ] &&
        git -C "$home" worktree add --quiet --force --detach "$1" FETCH_HEAD &&
        cp "$home/secrets.age" "$1/$store" &&
        git -C "$1" -c user.name=deploy -c user.email=deploy@localhost \
            commit --quiet --message 'Secrets of the last run [skip ci]' -- "$store" &&
        git -C "$home" push --quiet origin "$(git -C "$1" rev-parse HEAD):$branch"
}
tree=$(mktemp -d)
trap 'rm -rf "$tree"; git -C "$home" worktree prune' EXIT
# The branch may move on in between.
keep "$tree/1" || keep "$tree/2" || {
    echo "secrets.age has changed and could not be pushed to $branch: keep the one of this job, nobody else has what is new in it" >&2
    [ $status -ne 0 ] || status=1
}
exit $status
