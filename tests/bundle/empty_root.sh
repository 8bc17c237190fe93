#!/usr/bin/env bash
# The bundle in a root that holds nothing but glibc, the bundle and torch: no shell, no libstdc++, no
# MPI, no /etc. What starts there starts on any x86-64 Linux machine with the same torch.
#
#   tests/bundle/empty_root.sh PROGRAM BUNDLE TORCH
#
# PROGRAM is not used (every program test gets it). Needs root, for a mount namespace of its own, in
# which all mounts are made and with which they go; ends with 77 (skipped) where it cannot have one.
set -euo pipefail
export LC_ALL=C

fail() {
  echo "FAILED: $*" >&2
  exit 1
}

[ $# -ge 3 ] || fail "usage: empty_root.sh PROGRAM BUNDLE TORCH"
bundle=$(realpath "$2") torch=$(realpath "$3")
[ -x "$bundle/cltrain" ] || fail "no bundle in $bundle: cmake --build build --target bundle"

if [ -z "${CLTRAIN_IN_NAMESPACE:-}" ]; then
  [ "$(id -u)" -eq 0 ] || { echo "skipped: needs root, to make an empty root"; exit 77; }
  unshare --mount true 2>/dev/null ||
    { echo "skipped: this machine allows no mount namespace (unshare --mount)"; exit 77; }
  CLTRAIN_IN_NAMESPACE=1 exec unshare --mount --propagation private "$0" "$@"
fi

# --- size -------------------------------------------------------------------------------------------
bytes=$(du -s --apparent-size --block-size=1 "$bundle" | cut -f 1)
echo "bundle: $bytes bytes"
[ "$bytes" -le $((64 << 20)) ] || fail "the bundle takes $bytes bytes, allowed are $((64 << 20))"

# --- the root ---------------------------------------------------------------------------------------
root=$(mktemp -d)
trap 'umount -l "$root" && rmdir "$root"' EXIT
mount -t tmpfs -o size=512m tmpfs "$root"
mkdir -p "$root"/{opt/bundle,opt/torch,proc,sys,dev/shm,tmp,data/photos/{one,two},run}
for name in ld-linux-x86-64.so.2 libc.so.6 libm.so.6 libpthread.so.0 libdl.so.2 librt.so.1 \
  libutil.so.1; do
  # Where this machine's loader finds them, so that the copy of the loader does too.
  path=$(ldconfig -p | awk -v name="$name" '$1 == name && /x86-64/ && !found++ {print $NF}')
  [ -n "$path" ] || fail "no $name on this machine"
  mkdir -p "$root$(dirname "$path")"
  cp -L "$path" "$root$path"
done
mkdir -p "$root/lib64"
cp -L /lib64/ld-linux-x86-64.so.2 "$root/lib64/"
mount --bind "$bundle" "$root/opt/bundle"
mount -o remount,bind,ro "$root/opt/bundle"
mount --bind "$torch" "$root/opt/torch"
mount -o remount,bind,ro "$root/opt/torch"
mount --rbind /proc "$root/proc"
mount --rbind /sys "$root/sys"  # where MPI reads the cores
mount -t tmpfs tmpfs "$root/dev/shm"
for device in null zero urandom; do
  : >"$root/dev/$device"
  mount --bind "/dev/$device" "$root/dev/$device"
done
images=$(dirname "$(realpath "$0")")/../data/golden/images
cp "$images"/{colour.jpg,grey.jpg,progressive.jpg} "$root/data/photos/one/"
cp "$images"/{rgb.png,rgba.png,palette.png} "$root/data/photos/two/"
! chroot "$root" /bin/sh -c true 2>/dev/null || fail "the root is not empty: it has a shell"

# inside EXPECTED_CODE COMMAND...: runs in the root with nothing in the environment but what is
# given; its output is in $output.
inside() {
  local expected=$1 code=0
  shift
  output=$(env -i HOME=/ OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 \
    OMPI_MCA_mpi_yield_when_idle=1 "$(command -v chroot)" "$root" "$@" 2>&1 </dev/null) || code=$?
  [ "$code" -eq "$expected" ] || fail "$* ended with $code, not $expected:
$output"
  echo "ok ($code): $*"
}
# says TEXT: $output holds it.
says() {
  case $output in
    *"$1"*) ;;
    *) fail "no '$1' in:
$output" ;;
  esac
}
here=/opt/bundle
run=("$here/cltrain" --torch /opt/torch)
training=(--config simclr_large.yaml data.root=/data/photos model.name=resnet18 model.width=0.25
  augment.size=32 train.global_batch=4 train.steps=3 optim.warmup_epochs=0 data.workers=1
  eval.enabled=false metrics.port=0)

# --- what it says -----------------------------------------------------------------------------------
version=$(sed -n "s/^__version__ = '\([0-9.]*\).*/\1/p" "$torch/torch/version.py")
inside 0 "${run[@]}" --version
says "cltrain "
says "LibTorch"
says " $version"
says "Open MPI v4"
inside 0 "${run[@]}" --help
says "train.global_batch"
inside 0 "${run[@]}" config --config simclr_fashion.yaml
says "simclr"

# FFmpeg is not in the bundle: what needs it says so.
mkdir -p "$root/data/clips"
: >"$root/data/clips/a.mp4"
inside 3 "${run[@]}" views --config videomoco_small.yaml data.root=/data/clips
says "libavutil.so"
says "install the FFmpeg"

# --- mistakes ---------------------------------------------------------------------------------------
inside 2 "$here/cltrain" --version
says "no torch given"
says "--torch PATH"
inside 2 "$here/cltrain" --version --torch
says "--torch needs a folder"
inside 2 "$here/cltrain" --torch /data --version
says "no torch/lib/libtorch_cpu.so"
mkdir -p "$root/data/other/torch/lib"
: >"$root/data/other/torch/lib/libtorch_cpu.so"
echo "__version__ = '1.13.1+cpu'" >"$root/data/other/torch/version.py"
inside 2 "$here/cltrain" --torch=/data/other --version
says "it is torch 1.13.1"
says "needed is torch $version"
if grep -q 'whole wheel' "$bundle/VERSION"; then  # built with CUDA: a wheel without it is another kind
  echo "__version__ = '$version+cpu'" >"$root/data/other/torch/version.py"
  inside 2 "$here/cltrain" --torch=/data/other --version
  says "no torch/lib/libtorch_cuda.so"
  echo "__version__ = '1.13.1+cpu'" >"$root/data/other/torch/version.py"
fi
inside 2 "$here/mpirun" -n 2 --oversubscribe "$here/cltrain" --torch /data/other --version
[ "$(grep -c 'it is torch 1.13.1' <<<"$output")" -eq 1 ] || fail "not said once: $output"
inside 2 "${run[@]}" "${training[@]}" train.setps=3
says "train.setps"

# --- training ---------------------------------------------------------------------------------------
# trained NAME RANKS: the run that `inside` has made is whole.
trained() {
  local dir=$root/run/$1
  says "finished"
  [ "$(wc -l <"$dir/metrics.jsonl")" -eq 3 ] || fail "not 3 steps in $1"
  [ -s "$dir/checkpoints/latest/state.safetensors" ] || fail "no checkpoint in $1"
  grep -Eq "\"ranks\": *$2\b" "$dir/summary.json" || fail "not $2 ranks: $(cat "$dir/summary.json")"
}
inside 0 "${run[@]}" "${training[@]}" run.dir=/run/alone
trained alone 1
inside 0 "$here/mpirun" -n 2 --oversubscribe --bind-to none "${run[@]}" "${training[@]}" \
  run.dir=/run/two
trained two 2
# As a cluster does: the variable, and torch itself in the place of the folder above it.
inside 0 "$here/bin/mpirun" -n 2 --oversubscribe --bind-to none -x CLTRAIN_TORCH=/opt/torch/torch \
  "$here/cltrain" "${training[@]}" run.dir=/run/two train.steps=3
says "this run is finished"
echo "PASSED"
