#!/usr/bin/env bash
# Makes MovieLens-100k (943 users, 1,682 films, 100,000 ratings with times) available: fetches
# ml-100k.inter, which RecBole's wheel brings as its example, and prints the folder that holds it.
#   data/fetch_ml100k.sh                 data.root="$(data/fetch_ml100k.sh)" data.name=ml-100k
# Only that one file is kept; RecBole is not installed. Fetched once for all clones, into
# CLTRAIN_CACHE (default ~/.cache/cltrain); with the file there the network is not touched. The
# folder alone goes to standard output, all else to standard error.
set -euo pipefail
# shellcheck source=launcher/setup.sh
source "$(dirname "${BASH_SOURCE[0]}")/../launcher/setup.sh"

case ${1-} in
  '') ;;
  -h | --help)
    sed -n '2,7s/^# //p' "${BASH_SOURCE[0]}"
    exit 0
    ;;
  *) fail "unknown argument: $1" "run $0 without any, or with --help" ;;
esac

wheel=recbole-1.2.1-py3-none-any.whl
wheel_sum=9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407
inter_sum=4edb74e2a81178c2ba9ff381495f754f996c4aea351b1272ca36b43da0935eff
folder=$CLTRAIN_CACHE/ml-100k

# has_sum FILE SHA256
has_sum() {
  [ "$(sha256sum "$1" | cut -d ' ' -f 1)" = "$2" ]
}

# fetch FOLDER: fills it. Called before `||`, where set -e does not hold: every step checks itself.
fetch() {
  rm -rf "$1" && mkdir -p "$1" || return 1
  show "$python" -m pip download -q --no-deps --only-binary=:all: --dest "$1" recbole==1.2.1 ||
    fail "pip could not fetch $wheel (2 MB)" \
      "see pip's message above; without a network, copy the file ml-100k.inter of that wheel to $folder/ml-100k.inter"
  has_sum "$1/$wheel" "$wheel_sum" ||
    fail "the wheel $wheel that pip fetched is another file than expected (SHA-256 is not $wheel_sum)" \
      "check which package index pip is set to use, then run this script again"
  "$python" - "$1/$wheel" "$1/ml-100k.inter" <<'EOF' || return 1
import sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as wheel, open(sys.argv[2], "wb") as out:
    out.write(wheel.read("recbole/dataset_example/ml-100k/ml-100k.inter"))
EOF
  rm "$1/$wheel"
}

if [ ! -e "$folder/ml-100k.inter" ]; then
  mkdir -p "$CLTRAIN_CACHE" ||
    fail "the folder $CLTRAIN_CACHE cannot be made" "set CLTRAIN_CACHE to one that can be written to"
  (
    flock 9 || exit 1  # another clone may be fetching the same
    [ ! -e "$folder/ml-100k.inter" ] || exit 0
    { fetch "$folder.tmp" && mkdir -p "$folder" &&
      mv "$folder.tmp/ml-100k.inter" "$folder/ml-100k.inter" && rm -rf "$folder.tmp"; } ||
      fail "MovieLens-100k could not be put into $folder" \
        "see the message above; check rights and free space, then run this script again"
  ) 9>"$CLTRAIN_CACHE/ml-100k.lock" >&2 || exit 1  # what failed has been said
fi
has_sum "$folder/ml-100k.inter" "$inter_sum" ||
  fail "$folder/ml-100k.inter is damaged or another file (SHA-256 is not $inter_sum)" \
    "remove it and run this script again"
echo "$folder"
