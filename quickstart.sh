#!/usr/bin/env bash
# Installs what is missing, builds, and trains SimCLR on Fashion-MNIST with 4 MPI ranks.
#   ./quickstart.sh [key=value ...]      options are handed to cltrain, e.g. train.steps=20
# Stopped at any moment, it takes up where it stopped when called again. See launcher/setup.sh for
# what goes where.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
# shellcheck source=launcher/setup.sh
source launcher/setup.sh

case ${1-} in
  -h | --help)
    sed -n '2,5s/^# //p' "${BASH_SOURCE[0]}"
    exit 0
    ;;
esac

set_up no-tests
phase "training"
# Ranks may outnumber cores here; each takes its share of them whatever mpirun would bind it to.
code=0
show mpirun -n 4 --oversubscribe --bind-to none \
  build/bin/cltrain --config simclr_fashion.yaml "$@" || code=$?
end_phase
case $code in
  0) ;;
  75) echo "Stopped with a checkpoint: run the same command again to continue." ;;
  2) echo "A mistake in an option, named above: correct it and run again." >&2 ;;
  3) echo "The data could not be read (named above): see data.root in configs/, or pass" \
    "data.root=<folder with the IDX files of Fashion-MNIST>." >&2 ;;
  *) echo "cltrain ended with $code, see its message above. The same command continues from the" \
    "last checkpoint; run.dir=<new folder> starts afresh." >&2 ;;
esac
exit "$code"
