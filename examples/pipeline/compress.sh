#!/usr/bin/env bash
# One step of a pipeline: compresses a model and ends by the verdict.
#
#   compress.sh --model FILE --recipe FILE --data NAME=PATH ... --profile ID ... --out DIR
#
# Takes the flags of `condense submit`; the server comes from CONDENSE_SERVER. Writes the
# artifacts to DIR/PROFILE/ and the finished job to DIR/job.json. Exit codes: 0 every artifact
# PASSED its gates; 3 one did not; 4 the job failed; 5 it was cancelled; 6 no server; 2 wrong
# usage or recipe; 1 anything else.
#
# A step that may run again should pass --request-id UUID: the job is then submitted once only.
set -euo pipefail

out=""
previous=""
for argument in "$@"; do
  case "$argument" in --out=*) out="${argument#--out=}" ;; esac
  [ "$previous" != --out ] || out="$argument"
  previous="$argument"
done
[ -n "$out" ] || { echo "compress.sh: --out DIR is needed" >&2; exit 2; }
mkdir -p "$out"

# The last line of stdout is the finished job; errors are on stderr.
status=0
condense submit "$@" --wait --json >"$out/submit.jsonl" || status=$?
case "$status" in
  0 | 3 | 4 | 5) tail -n 1 "$out/submit.jsonl" >"$out/job.json" ;;
  *) exit "$status" ;;
esac

jq -r '"\(.name) \(.state)", (.artifacts[]? | "\(.profile) \(.verdict)")' "$out/job.json"
if [ "$(jq -r .state "$out/job.json")" != SUCCEEDED ]; then
  jq -r '.error // empty | "\(.code) \(.reason): \(.message)"' "$out/job.json" >&2
  exit "$status"
fi

# What a pipeline does with the verdict is its own affair; here anything but PASSED stops it.
verdict="$(jq -r '[.artifacts[].verdict] | map(select(. != "PASSED")) | first // "PASSED"' "$out/job.json")"
echo "$verdict" >"$out/verdict"
[ "$verdict" = PASSED ] || exit 3
