#!/usr/bin/env bash
# A real Prometheus server scrapes a live run of two ranks, and what it stored is compared with the
# run's own record, metrics.jsonl.
#
# usage: prometheus_scrape.sh CLTRAIN CONFIG [key=value ...]
#   e.g. prometheus_scrape.sh build/bin/cltrain simclr_fashion.yaml train.steps=60 train.global_batch=64
#   The run should last 10 s to 2 minutes. run.dir and metrics.port are set here.
# Exit code 0: all values match. Everything is bounded in time, lives in a temporary folder and
# listens on 127.0.0.1 only; only processes started here are ended.
set -euo pipefail

if [ $# -lt 2 ]; then
  sed -n '5,7s/^# //p' "${BASH_SOURCE[0]}" >&2
  exit 2
fi
cltrain=$1 config=$2
shift 2
for tool in prometheus curl python3 mpirun; do
  command -v "$tool" >/dev/null || { echo "$tool is not installed" >&2; exit 1; }
done

folder=$(mktemp -d)
server_pid='' run_pid=''
clean_up() {
  [ -z "$run_pid" ] || kill -TERM "$run_pid" 2>/dev/null || true
  [ -z "$server_pid" ] || kill -TERM "$server_pid" 2>/dev/null || true
  wait 2>/dev/null || true
  rm -rf "$folder"
}
trap clean_up EXIT

free_port() {
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}
metrics_port=$(free_port)
server_port=$(free_port)

cat >"$folder/prometheus.yml" <<CONFIG
global: {scrape_interval: 1s, scrape_timeout: 1s}
scrape_configs:
  - job_name: cltrain
    static_configs: [{targets: ["127.0.0.1:$metrics_port"]}]
CONFIG
prometheus --config.file="$folder/prometheus.yml" --storage.tsdb.path="$folder/data" \
  --web.listen-address="127.0.0.1:$server_port" >"$folder/server.log" 2>&1 &
server_pid=$!

# It takes up to 5 s before the server knows its target; a short run would be over by then.
known=no
for _ in $(seq 120); do
  if curl -s --noproxy '*' --max-time 2 "http://127.0.0.1:$server_port/api/v1/targets" |
    grep -q "127.0.0.1:$metrics_port"; then
    known=yes
    break
  fi
  sleep 0.25
done
if [ "$known" = no ]; then
  echo "the Prometheus server did not start:" >&2
  tail -n 20 "$folder/server.log" >&2
  exit 1
fi

if [ "$(id -u)" -eq 0 ]; then
  export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
fi
timeout --kill-after=10 300 mpirun -n 2 --oversubscribe --bind-to none "$cltrain" --config "$config" \
  "$@" "run.dir=$folder/run" "metrics.port=$metrics_port" >"$folder/run.log" 2>&1 &
run_pid=$!

code=0
wait "$run_pid" || code=$?
run_pid=''
if [ "$code" -ne 0 ]; then
  echo "the run ended with $code:" >&2
  tail -n 40 "$folder/run.log" >&2
  exit 1
fi
sleep 1.5  # the server may be storing its last scrape

python3 - "$server_port" "$folder/run/metrics.jsonl" <<'CHECK' || {
import json
import math
import sys
import urllib.parse
import urllib.request

port, path = sys.argv[1:]
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def samples(series):
    """{time: value} of every scrape the server stored."""
    query = urllib.parse.urlencode({"query": series + "[10m]"})
    with opener.open(f"http://127.0.0.1:{port}/api/v1/query?{query}", timeout=10) as answer:
        result = json.load(answer)["data"]["result"]
    if len(result) != 1:
        sys.exit(f"{series}: {len(result)} series on the server, expected 1")
    return {time: float(value) for time, value in result[0]["values"]}


lines = {}
for text in open(path, encoding="utf-8"):
    line = json.loads(text)
    if line["step"] in lines:
        sys.exit(f"{path}: step {line['step']} is there twice")
    lines[line["step"]] = line
rows = {0: 0}
for step in sorted(lines):
    rows[step] = rows[step - 1] + lines[step]["samples"]

steps = samples("cltrain_step")
wanted = {
    "cltrain_loss": lambda step: lines[step]["loss"],
    "cltrain_learning_rate": lambda step: lines[step]["lr"],
    "cltrain_samples_per_second": lambda step: lines[step]["samples_per_second"],
    "cltrain_samples_total": lambda step: rows[step],
    "cltrain_steps_total": lambda step: step,
}
stored = {series: samples(series) for series in wanted}
compared, different = 0, []
for time, step in sorted(steps.items()):
    if step == 0:
        continue
    wrong = [
        f"{series} is {stored[series][time]!r}, metrics.jsonl says {value(step)!r}"
        for series, value in wanted.items()
        if not math.isclose(stored[series][time], value(step), rel_tol=1e-12)
    ]
    compared += 1
    if wrong:
        different.append(f"step {step:.0f}: " + "; ".join(wrong))
print(f"{compared} scrapes of a live run compared with {len(lines)} lines, {len(different)} differ")
print("\n".join(different))
if compared < 3:
    sys.exit("fewer than 3 scrapes met the run: make it longer (train.steps)")
# A scrape takes no lock: one that meets the few stores of a step may see values of two steps.
if len(different) > 1:
    sys.exit(1)
CHECK
  echo "--- end of the run's output" >&2
  tail -n 5 "$folder/run.log" >&2
  exit 1
}
