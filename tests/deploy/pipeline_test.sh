#!/usr/bin/env bash
# Runs examples/pipeline/compress.sh against a real server and worker on free
# loopback ports.
#   pipeline_test.sh SOURCE_DIR BINARY_FOLDER
# Exits 77 when a binary or the example is not there, or jq is missing.
set -euo pipefail
source="$1"
bin="$2"
digits="$source/examples/digits"
for needed in "$bin"/condense{,-server,-worker,-engine} "$digits"/{model.onnx,ptq.yaml,data}; do
  [ -e "$needed" ] || { echo "skipped: $needed is not there"; exit 77; }
done
command -v jq >/dev/null || { echo "skipped: jq is not installed"; exit 77; }

work="$(mktemp -d)"
pids=()
stop() {
  for pid in "${pids[@]}"; do kill -TERM "$pid" 2>/dev/null || true; done
  for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
  rm -rf "$work"
}
trap stop EXIT
fail() {
  echo "FAILED: $*" >&2
  tail -n 20 "$work"/*.log >&2
  exit 1
}

# The address that a process prints as its first line.
address() {  # NAME KEY
  for _ in $(seq 200); do
    if [ -s "$work/$1.out" ]; then
      jq -r ".$2" "$work/$1.out"
      return
    fi
    sleep 0.05
  done
  fail "$1 printed no address within 10 s"
}

"$bin/condense-server" --data-dir "$work/server" --listen 127.0.0.1:0 --metrics-listen 127.0.0.1:0 \
  >"$work/server.out" 2>"$work/server.log" &
pids+=($!)
CONDENSE_SERVER="$(address server grpc)"
export CONDENSE_SERVER PATH="$bin:$PATH"
"$bin/condense-worker" --server "$CONDENSE_SERVER" --work-dir "$work/worker" --slots 1 --device cpu \
  --metrics-listen 127.0.0.1:0 >"$work/worker.out" 2>"$work/worker.log" &
pids+=($!)
address worker worker >/dev/null

step() {  # OUT MORE...
  local out="$1"
  shift
  "$source/examples/pipeline/compress.sh" --model "$digits/model.onnx" --recipe "$digits/ptq.yaml" \
    --data "train=$digits/data/train" --data "test=$digits/data/test" \
    --profile onnxruntime-cpu-x86-vnni --out "$out" "$@" 2>"$work/step.log"
}

# A bound that holds: exit 0, a model and a verdict.
status=0
step "$work/passed" >"$work/passed.txt" || status=$?
[ "$status" = 0 ] || fail "expected exit code 0, got $status"
grep -qx 'onnxruntime-cpu-x86-vnni PASSED' "$work/passed.txt" || fail "no verdict was printed"
[ "$(cat "$work/passed/verdict")" = PASSED ] || fail "the verdict file is wrong"
[ -s "$work/passed/onnxruntime-cpu-x86-vnni/model.onnx" ] || fail "no model was downloaded"
[ "$(jq -r .state "$work/passed/job.json")" = SUCCEEDED ] || fail "job.json is not the finished job"

# A bound that cannot hold: exit 3, and the verdict says which.
status=0
step "$work/large" --gate max_size_bytes=1 >"$work/large.txt" || status=$?
[ "$status" = 3 ] || fail "expected exit code 3, got $status"
[ "$(cat "$work/large/verdict")" = TOO_LARGE ] || fail "expected TOO_LARGE"

# No server: exit 6.
status=0
step "$work/none" --server 127.0.0.1:1 >/dev/null || status=$?
[ "$status" = 6 ] || fail "expected exit code 6, got $status"
echo "pipeline: good"
