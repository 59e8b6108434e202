#!/usr/bin/env bash
# Everything that must hold. Each lint counts as one test; the last line is the count.
# all.sh [COUNT-FILE]: the count is written there too.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
export PATH="$HOME/.cargo/bin:$PATH"
passed=0
failed=0
skipped=0
output=$(mktemp)
trap 'rm -f "$output"' EXIT

# lint TITLE COMMAND… : counts as one.
lint() {
    local title=$1 begun=$SECONDS
    shift
    if "$@" >"$output" 2>&1; then
        passed=$((passed + 1))
        echo "ok      $title ($((SECONDS - begun)) s)"
    else
        failed=$((failed + 1))
        tail -n 60 "$output"
        echo "FAILED  $title"
    fi
}

# tests PATTERN-OF-A-RESULT-LINE COMMAND… : adds what the command counts; a failure without a count is one.
tests() {
    local line=$1 status=0 found number sum_passed=0 sum_failed=0
    shift
    "$@" 2>&1 | tee "$output"
    status=${PIPESTATUS[0]}
    while read -r found; do
        sum_passed=$((sum_passed + $(sed -n 's/.*[^0-9]\([0-9][0-9]*\) passed.*/\1/p' <<<"$found")))
        sum_failed=$((sum_failed + $(sed -n 's/.*[^0-9]\([0-9][0-9]*\) failed.*/\1/p' <<<"$found")))
        number=$(sed -n 's/.*[^0-9]\([0-9][0-9]*\) skipped.*/\1/p' <<<"$found")
        skipped=$((skipped + ${number:-0}))
    done < <(grep "$line" "$output")
    # Where nothing was counted, nothing was tried.
    if [ $((sum_passed + sum_failed)) -eq 0 ] || { [ "$status" -ne 0 ] && [ "$sum_failed" -eq 0 ]; }; then
        sum_failed=1
        echo "FAILED  $*"
    fi
    passed=$((passed + sum_passed))
    failed=$((failed + sum_failed))
}

shells() {
    # shellcheck disable=SC2016 # awk's own variables
    git -c safe.directory="$PWD" ls-files -z '*.sh' .ci/run | xargs -0 awk 'FNR == 1 { print ($0 ~ /bash/ ? "bash" : "sh"), FILENAME }' |
        while read -r shell file; do
            shellcheck --shell="$shell" "$file" || exit 1
        done
}

lint "shellcheck" shells
lint "cargo fmt" cargo fmt --check
lint "cargo clippy" cargo clippy --quiet --all-targets -- -D warnings
lint "cargo clippy, lab suite" cargo clippy --quiet --test suite -- -D warnings
if ! cargo deny --version >/dev/null 2>&1; then
    echo "installing cargo-deny: two minutes or more"
    # Unoptimised: it is built for longer than it runs.
    lint "install cargo-deny" cargo install --quiet --locked --debug cargo-deny
fi
# The advisories need a database from the network: `cargo deny check advisories` by hand.
lint "cargo deny" cargo deny check bans licenses sources
# The suite holds each scenario to its time by itself.
tests '^test result:' timeout -k 30 2400 cargo test --quiet --no-fail-fast
tests '^suite:' cargo test --quiet --test suite
line="$passed passed, $failed failed"
if [ "$skipped" -ne 0 ]; then
    line="$line, $skipped skipped"
fi
echo "$line" >"${1:-/dev/null}"
echo "$line"
[ "$failed" -eq 0 ]
