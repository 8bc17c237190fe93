#!/usr/bin/env bash
# Installs what is missing, builds with tests, and runs them all.
#   ./test.sh            the test suite
#   ./test.sh --full     besides: the long ones (twenty kills, Slurm on one node, learning)
# Exit code: that of ctest.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
# shellcheck source=launcher/setup.sh
source launcher/setup.sh

case "$#:${1-}" in
  0:) tests=tests selection=(-LE full) ;;
  1:--full) tests=full-tests selection=() ;;
  *)
    sed -n '2,5s/^# //p' "${BASH_SOURCE[0]}" >&2
    exit 2
    ;;
esac

set_up "$tests"
phase "tests"
# Last, so that its summary and exit code are this script's.
show ctest --test-dir build --output-on-failure "${selection[@]}"
