#!/bin/sh
# On the merge: carries out the plan that was looked at, and nothing else. Passwords that it is the first to need are made with the
# plan, and are in the store of this checkout from now on: a store that has changed goes to where the inventory is kept.
# apply.sh INVENTORY FOLDER BRANCH: 10 says that something has moved since, and that a new plan has to be looked at.
set -eu
[ $# -eq 3 ] || { echo "usage: apply.sh INVENTORY FOLDER BRANCH" >&2; exit 1; }
inventory=$1
folder=$2
branch=$3
status=0
deploy apply "$inventory" --plan "$folder/plan.age" --log "$folder/apply.log" || status=$?

[ -d "$inventory" ] || inventory=$(dirname -- "$inventory")
cd "$inventory"
if [ -n "$(git status --porcelain -- secrets.age)" ]; then
    export GIT_AUTHOR_NAME=deploy GIT_AUTHOR_EMAIL=deploy@localhost
    export GIT_COMMITTER_NAME=deploy GIT_COMMITTER_EMAIL=deploy@localhost
    git commit --quiet --message 'Secrets of the last run [skip ci]' -- secrets.age
    # The branch may have moved on in the meantime.
    git push --quiet origin "HEAD:$branch" || {
        git fetch --quiet origin "$branch" && git rebase --quiet FETCH_HEAD && git push --quiet origin "HEAD:$branch"
    } || {
        echo "secrets.age has changed and could not be pushed to $branch: keep the one of this job, nobody else has its passwords" >&2
        [ $status -ne 0 ] || status=1
    }
fi
exit $status
