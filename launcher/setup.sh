# Set-up shared by quickstart.sh, test.sh and .ci/run, which source this file from the root of the
# repository under `set -euo pipefail`. Every step looks first whether its work is done, so a call
# takes up where an earlier one stopped. Commands that change something are printed before they run.
#
#   CLTRAIN_CACHE   LibTorch, Python packages and ccache, shared by all clones; default ~/.cache/cltrain
#   CLTRAIN_JOBS    parallel compilations; default: as many as cores and memory allow
# shellcheck shell=bash

CLTRAIN_CACHE=${CLTRAIN_CACHE:-$HOME/.cache/cltrain}
torch_version=2.11.0

# What the build and the run need, as Debian and Ubuntu name it.
build_packages=(g++ cmake ninja-build ccache git python3 python3-pip openmpi-bin libopenmpi-dev
  libyaml-cpp-dev prometheus-cpp-dev libcpp-httplib-dev nlohmann-json3-dev libfaiss-dev liblapack-dev
  libopenblas-openmp-dev libjpeg-dev libpng-dev zlib1g-dev libssl-dev libgtest-dev
  pkg-config libavformat-dev libavcodec-dev libavutil-dev libswscale-dev)
# What the tests need besides: the promtool and server of prometheus, image files made by Python,
# videos made by ffmpeg.
test_packages=(prometheus curl python3-pil ffmpeg)
# What ./test.sh --full needs besides: a Slurm of one node.
full_test_packages=(slurmctld slurmd slurm-client munge iproute2 util-linux)

# The system's own Python: what it installs, the tests' scripts import.
python=/usr/bin/python3
[ -x "$python" ] || python=python3

# --- talking --------------------------------------------------------------------------------------
if [ -t 1 ]; then
  bold=$'\e[1m' red=$'\e[31m' dim=$'\e[2m' plain=$'\e[0m'
else
  bold='' red='' dim='' plain=''
fi
phase_name='' phase_start=0

# phase NAME: ends the phase before (printing its time) and opens another.
phase() {
  end_phase
  phase_name=$1 phase_start=$SECONDS
  printf '%s== %s%s\n' "$bold" "$phase_name" "$plain"
}

end_phase() {
  [ -z "$phase_name" ] || printf '%s== %s: %d s%s\n' "$dim" "$phase_name" \
    $((SECONDS - phase_start)) "$plain"
  phase_name=''
}

# fail WHAT WHAT_TO_DO
fail() {
  printf '%serror:%s %s\n  to do: %s\n' "$red" "$plain" "$1" "$2" >&2
  exit 1
}

# show COMMAND...: prints a command as it can be typed, then runs it.
show() {
  printf '%s+%s' "$dim" "$plain"
  printf ' %q' "$@"
  printf '\n'
  "$@"
}

# --- packages -------------------------------------------------------------------------------------
# missing_packages NAME...: those of the names that are not installed, one a line.
missing_packages() {
  local name
  for name in "$@"; do
    case $(dpkg-query -W -f='${db:Status-Abbrev}' "$name" 2>/dev/null || true) in
      ii*) ;;
      *) echo "$name" ;;
    esac
  done
}

# as_root COMMAND...: with sudo where needed; without a terminal sudo may not ask for a password.
as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    show "$@"
  elif ! command -v sudo >/dev/null; then
    fail "not root, and there is no sudo" "as root: $*"
  elif [ -t 0 ]; then
    show sudo "$@"
  else
    show sudo -n "$@"
  fi
}

apt_updated=no
apt_update() {
  [ "$apt_updated" = no ] || return 0
  as_root apt-get update -qq || echo "apt-get update failed; going on with the lists there are" >&2
  apt_updated=yes
}

# install_packages NAME...: installs what is missing, or says what to install by hand.
install_packages() {
  local missing
  if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
    fail "this is no Debian or Ubuntu (no apt-get): packages cannot be installed from here" \
      "install what Debian calls: $*; then configure by hand: cmake -S . -B build (see README.md)"
  fi
  mapfile -t missing < <(missing_packages "$@")
  [ ${#missing[@]} -gt 0 ] || return 0
  apt_update
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    "${missing[@]}" ||
    fail "apt-get could not install: ${missing[*]}" \
      "see apt's message above; then: sudo apt-get install ${missing[*]}"
}

# The test packages hold daemons, which a machine with systemd starts: the tests start their own.
note_services() {
  local service
  [ -d /run/systemd/system ] || return 0
  for service in "$@"; do
    if systemctl is-active -q "$service" 2>/dev/null; then
      echo "note: the service $service is running and is not needed here; to end it:" \
        "sudo systemctl disable --now $service"
    fi
  done
}

# install_test_packages tests|full-tests
install_test_packages() {
  local packages=("${test_packages[@]}")
  [ "$1" != full-tests ] || packages+=("${full_test_packages[@]}")
  [ -n "$(missing_packages "${packages[@]}")" ] || return 0
  install_packages "${packages[@]}"
  note_services prometheus prometheus-node-exporter slurmctld slurmd munge
}

# The quick start's images. Not every distribution has the package, and a copy of the IDX files
# does as well, so its absence is told and not fatal.
install_fashion_mnist() {
  [ -n "$(missing_packages dataset-fashion-mnist)" ] || return 0
  apt_update
  if [ -n "$(apt-cache show dataset-fashion-mnist 2>/dev/null)" ]; then
    install_packages dataset-fashion-mnist
  else
    echo "This distribution has no package dataset-fashion-mnist. Put the four IDX files of" \
      "Fashion-MNIST (train-images-idx3-ubyte.gz, ...) into a folder and pass data.root=<folder>."
  fi
}

# --- LibTorch -------------------------------------------------------------------------------------
find_nvcc() {
  command -v nvcc || { [ -x /usr/local/cuda/bin/nvcc ] && echo /usr/local/cuda/bin/nvcc; }
}

has_gpu() {
  [ -e /dev/nvidia0 ] || { command -v nvidia-smi >/dev/null && nvidia-smi -L >/dev/null 2>&1; }
}

# install_torch tests|full-tests|no-tests: sets torch_folder to a complete copy of the wheel, downloading it once for all
# clones. A download goes to a temporary folder and is renamed when complete.
install_torch() {
  local kind=lean size=1.3
  if find_nvcc >/dev/null || has_gpu; then kind=full size=4.7; fi
  # The tests import torch in Python, which the lean set cannot.
  [ "$1" = no-tests ] || kind=full size=4.7
  # The full set serves a machine without GPU as well, if some clone has fetched it.
  [ ! -d "$CLTRAIN_CACHE/torch-$torch_version-full" ] || kind=full
  torch_folder=$CLTRAIN_CACHE/torch-$torch_version-$kind
  mkdir -p "$CLTRAIN_CACHE"
  [ ! -d "$torch_folder" ] || return 0
  echo "LibTorch $torch_version ($kind set, $size GB) goes to $torch_folder"
  if has_gpu && ! find_nvcc >/dev/null; then
    echo "There is a GPU but no nvcc: the GPU code is not built. Install the CUDA toolkit 13.0."
  fi
  (
    # Called before `||`, where set -e does not hold: each command says itself what its failure is.
    flock 9 || exit 1  # another clone may be fetching the same
    [ ! -d "$torch_folder" ] || exit 0
    rm -rf "$torch_folder.tmp"
    wheels=("torch==$torch_version")
    if [ "$kind" = lean ]; then
      wheels=(--no-deps "${wheels[@]}" "nvidia-cuda-runtime==13.0.*" "nvidia-cuda-cupti==13.0.*")
    fi
    show env PIP_ROOT_USER_ACTION=ignore \
      "$python" -m pip install -q --target "$torch_folder.tmp" "${wheels[@]}" &&
      mv "$torch_folder.tmp" "$torch_folder"
  ) 9>"$CLTRAIN_CACHE/torch.lock" ||
    fail "pip could not fetch torch==$torch_version ($size GB into $CLTRAIN_CACHE)" \
      "see pip's message above; check the network and free space, then run this script again"
}

# install_python_packages WHAT REQUIREMENTS FOLDER COMMAND: fills FOLDER (once for all clones) by
# COMMAND FOLDER.tmp, which fetches the packages of the file REQUIREMENTS.
install_python_packages() {
  local what=$1 requirements=$2 folder=$3 fetch=$4
  mkdir -p "$CLTRAIN_CACHE"
  [ ! -d "$folder" ] || return 0
  echo "Python packages that $what with go to $folder"
  (
    flock 9 || exit 1  # another clone may be fetching the same
    [ ! -d "$folder" ] || exit 0
    rm -rf "$folder.tmp"
    "$fetch" "$requirements" "$folder.tmp" && mv "$folder.tmp" "$folder"
  ) 9>"$CLTRAIN_CACHE/peers.lock" ||
    fail "pip could not fetch the packages of $requirements" \
      "see pip's message above; check the network and free space, then run this script again"
}

# packages_version REQUIREMENTS: changes when the packages do.
packages_version() {
  grep -v '^#' "$1" | sha256sum | cut -c 1-12
}

pip_install() {
  show env PIP_ROOT_USER_ACTION=ignore "$python" -m pip install -q "$@"
}

fetch_peers() {
  # The one dependency of these two that matters is the torch that is there already.
  # shellcheck disable=SC2046
  pip_install --target "$2" --no-deps $(grep -E '^(torchvision|timm)=' "$1") &&
    grep -vE '^(torchvision|timm)=' "$1" >"$2/requirements.txt" &&
    pip_install --target "$2" -r "$2/requirements.txt"
}

# No dependencies: the file lists all that is needed and not there otherwise.
fetch_alone() {
  pip_install --target "$2" --no-deps -r "$1"
}

# install_peers: what tests and benchmarks compare with (tests/requirements.txt). Sets peers_folder.
install_peers() {
  peers_folder=$CLTRAIN_CACHE/python-peers-$(packages_version tests/requirements.txt)
  install_python_packages "the tests compare" tests/requirements.txt "$peers_folder" fetch_peers
}

# install_bench_peers: what only bench/run.sh ntxent and clips need (bench/requirements.txt). Sets
# bench_peers_folder.
install_bench_peers() {
  bench_peers_folder=$CLTRAIN_CACHE/python-bench-peers-$(packages_version bench/requirements.txt)
  install_python_packages "this benchmark compares" bench/requirements.txt "$bench_peers_folder" \
    fetch_alone
}

# install_cutlass: the headers that the fused CUDA kernels are made of, where there is an nvcc to
# compile them (cmake/cuda-requirements.txt). Sets cutlass_folder.
install_cutlass() {
  find_nvcc >/dev/null || return 0
  cutlass_folder=$CLTRAIN_CACHE/cutlass-$(packages_version cmake/cuda-requirements.txt)
  install_python_packages "the fused CUDA kernels are built" cmake/cuda-requirements.txt \
    "$cutlass_folder" fetch_alone
}

# --- build ----------------------------------------------------------------------------------------
# One compilation of a file that includes torch takes up to 2.5 GB.
build_jobs() {
  local cores memory limit
  cores=$(nproc)
  memory=$(awk '/^MemTotal:/ {print int($2 / 1024)}' /proc/meminfo)  # MB
  if limit=$(cat /sys/fs/cgroup/memory.max 2>/dev/null) && [ "$limit" != max ]; then
    limit=$((limit / 1048576))
    [ "$limit" -ge "$memory" ] || memory=$limit
  fi
  local jobs=$((memory / 2560))
  [ "$jobs" -le "$cores" ] || jobs=$cores
  [ "$jobs" -ge 1 ] || jobs=1
  echo "${CLTRAIN_JOBS:-$jobs}"
}

check_cmake() {
  local have
  have=$(cmake --version | awk 'NR == 1 {print $3}')
  if [ "$(printf '%s\n3.25\n' "$have" | sort -V | head -n 1)" != 3.25 ]; then
    fail "CMake $have is too old; 3.25 or newer is needed" \
      "python3 -m pip install --user cmake, and put ~/.local/bin first in PATH"
  fi
}

# build_program tests|no-tests
build_program() {
  local tests=OFF
  [ "$1" = no-tests ] || tests=ON
  check_cmake
  export CCACHE_DIR=${CCACHE_DIR:-$CLTRAIN_CACHE/ccache}
  show cmake -S . -B build -G Ninja "-DCLTRAIN_TORCH=$torch_folder" "-DCLTRAIN_TESTS=$tests" \
    ${peers_folder:+"-DCLTRAIN_PEERS=$peers_folder"} \
    ${cutlass_folder:+"-DCLTRAIN_CUTLASS=$cutlass_folder/cutlass_library/source/include"} ||
    fail "CMake could not configure the build" "see its message above; rm -rf build starts anew"
  show cmake --build build -j "$(build_jobs)" ||
    fail "the build failed" "see the compiler's message above (killed: out of memory, CLTRAIN_JOBS=1)"
}

# Open MPI refuses root unless told twice; containers are mostly root.
allow_mpi_as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
  fi
}

# set_up tests|full-tests|no-tests
set_up() {
  phase "packages"
  install_packages "${build_packages[@]}"
  [ "$1" = no-tests ] || install_test_packages "$1"
  install_fashion_mnist
  phase "LibTorch"
  install_torch "$1"
  [ "$1" = no-tests ] || install_peers
  install_cutlass
  phase "build"
  build_program "$1"
  allow_mpi_as_root
}
