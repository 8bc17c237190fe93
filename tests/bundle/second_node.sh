#!/usr/bin/env bash
# Two "nodes" from the bundle: mpirun reaches the second by a stand-in for ssh, which starts the
# command on this machine with an empty environment, as sshd does. So the daemon there must come from
# the bundle and find its own libraries, components and texts; the ranks talk by TCP, as between
# machines.
#
#   tests/bundle/second_node.sh PROGRAM BUNDLE TORCH
#
# PROGRAM is not used (every program test gets it).
set -euo pipefail
export LC_ALL=C

fail() {
  echo "FAILED: $*" >&2
  exit 1
}

[ $# -ge 3 ] || fail "usage: second_node.sh PROGRAM BUNDLE TORCH"
bundle=$(realpath "$2") torch=$(realpath "$3")
[ -x "$bundle/cltrain" ] || fail "no bundle in $bundle: cmake --build build --target bundle"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

cat >"$folder/ssh" <<'SSH'
#!/bin/sh
while [ "${1#-}" != "$1" ]; do shift; done
echo "asked for $1" >>"$(dirname "$0")/asked"
shift
exec env -i HOME=/nonexistent PATH=/usr/bin:/bin sh -c "$*"
SSH
chmod +x "$folder/ssh"
mkdir -p "$folder"/images/{one,two}
images=$(dirname "$(realpath "$0")")/../data/golden/images
cp "$images"/{colour.jpg,grey.jpg} "$folder/images/one/"
cp "$images"/{rgb.png,rgba.png} "$folder/images/two/"

# An address that exists nowhere: only its name counts, the stand-in starts the command here.
other=198.51.100.1
nodes=(env -u LD_LIBRARY_PATH -u OPAL_PREFIX -u OMPI_MCA_plm OMPI_ALLOW_RUN_AS_ROOT=1
  OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_plm_rsh_agent="$folder/ssh"
  OMPI_MCA_mpi_yield_when_idle=1 "$bundle/mpirun" -H "localhost:1,$other:1" -n 2 --bind-to none)

# shellcheck disable=SC2016  # the daemons' ranks expand it
output=$(timeout 60 "${nodes[@]}" sh -c 'readlink "/proc/$PPID/exe"' </dev/null 2>&1) ||
  fail "two daemons do not start: $output"
grep -qx "asked for $other" "$folder/asked" || fail "the stand-in was not asked"
[ "$(sort <<<"$output")" = "$bundle/libexec/orted
$bundle/libexec/orterun" ] || fail "not the bundle's mpirun and daemon: $output"
echo "ok: a daemon of the bundle starts with an empty environment"

output=$(timeout 200 "${nodes[@]}" "$bundle/cltrain" --torch "$torch" --config simclr_large.yaml \
  data.root="$folder/images" model.name=resnet18 model.width=0.25 augment.size=32 \
  train.global_batch=4 train.steps=2 optim.warmup_epochs=0 data.workers=1 eval.enabled=false \
  metrics.enabled=false run.dir="$folder/run" </dev/null 2>&1) || fail "no training: $output"
[ "$(wc -l <"$folder/run/metrics.jsonl")" -eq 2 ] || fail "not 2 steps: $output"
grep -q '2 (1 on ' <<<"$output" || fail "not one rank a node: $output"
echo "ok: two nodes of one rank train"
echo "PASSED"
