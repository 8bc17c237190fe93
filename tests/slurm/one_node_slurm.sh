#!/usr/bin/env bash
# launcher/slurm/train.sbatch on a real Slurm: a cluster of one node is started from Debian's packages
# (slurmctld slurmd slurm-client munge iproute2), the job script is submitted with a time limit that
# is too short, and must be stopped with a checkpoint, requeued, continued and finished. Then a job
# that makes no progress must end, not restart for ever.
#
# usage: one_node_slurm.sh CLTRAIN CONFIG [key=value ...]
#   e.g. one_node_slurm.sh build/bin/cltrain simclr_fashion.yaml train.steps=600 checkpoint.every=50
#   With 2 ranks the run should take 90 s to 5 minutes: the first part is stopped after 10 to 60 s.
#   fake_cltrain beside this file stands in for the program where only the job script is tried.
# Needs root (namespaces of its own: network, host name, mounts, processes). Takes 2 to 4 minutes.
# Every daemon lives in those namespaces and dies with this script; nothing outside is touched.
# Exit code 0: all as described. The folder with all logs is removed then, and named otherwise.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
job_script=$here/../../launcher/slurm/train.sbatch
minutes=2            # time limit of a part
signal_before=75     # seconds before the limit; Slurm sends USR1 up to 60 s earlier still
longest_wait=1800    # seconds for the whole job; a busy machine needs many allocations

if [ $# -lt 2 ]; then
  sed -n '7,10s/^# //p' "${BASH_SOURCE[0]}" >&2
  exit 2
fi
if [ "$(id -u)" -ne 0 ]; then
  echo "needs root: namespaces and daemons of a Slurm of its own" >&2
  exit 1
fi
for tool in slurmctld slurmd munged srun sbatch ip unshare python3; do
  command -v "$tool" >/dev/null || {
    echo "$tool is missing: apt-get install slurmctld slurmd slurm-client munge iproute2" >&2
    exit 1
  }
done

if [ -z "${CLTRAIN_SLURM_INSIDE-}" ]; then
  folder=$(mktemp -d)
  program=$(realpath "$1")
  shift
  code=0
  CLTRAIN_SLURM_INSIDE=$folder timeout --kill-after=10 2700 \
    unshare --net --uts --mount --pid --fork --kill-child --mount-proc \
    bash "${BASH_SOURCE[0]}" "$program" "$@" </dev/null || code=$?
  if [ "$code" -eq 0 ]; then
    rm -rf "$folder"
  else
    echo "failed with $code; logs and job output are in $folder" >&2
  fi
  exit "$code"
fi

# --- from here on inside the namespaces -----------------------------------------------------------
folder=$CLTRAIN_SLURM_INSIDE
export CLTRAIN=$1 CONFIG=$2
shift 2
fail() {
  echo "FAILED: $*" >&2
  tail -n 40 "$folder"/jobs/*.log >&2 2>/dev/null || true
  exit 1
}

# One node named box on a veth pair: with the loopback interface alone Slurm finds no address.
start_slurm() {
  mkdir -p "$folder"/{state,log,spool,tmp,jobs}
  chmod 711 "$folder"
  ip link set lo up
  ip link add veth0 type veth peer name veth1
  ip link set veth1 up
  ip link set veth0 up
  ip addr add 10.77.0.1/24 dev veth0
  hostname box
  { cat /etc/hosts; echo '10.77.0.1 box'; } >"$folder/hosts"
  mount --bind "$folder/hosts" /etc/hosts
  (umask 077 && head -c 128 /dev/urandom >"$folder/munge.key")
  munged --force --key-file="$folder/munge.key" --socket="$folder/munge.sock" \
    --pid-file="$folder/munged.pid" --log-file="$folder/log/munged" \
    --seed-file="$folder/munged.seed"
  # cred_expire: a requeued job waits that long plus a second before it may start; 120 s by default.
  cat >"$folder/slurm.conf" <<CONF
ClusterName=box
SlurmctldHost=box(127.0.0.1)
SlurmctldPort=16817
AuthType=auth/munge
AuthInfo=socket=$folder/munge.sock,cred_expire=10
SlurmUser=root
SlurmdUser=root
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
TmpFS=$folder/tmp
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/log/slurmctld
SlurmdLogFile=$folder/log/slurmd
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
MpiDefault=none
ReturnToService=2
KillWait=5
JobRequeue=1
SlurmdParameters=config_overrides
NodeName=box NodeAddr=10.77.0.1 Port=16818 CPUs=4 RealMemory=4000
PartitionName=p Nodes=box Default=YES MaxTime=30 State=UP
CONF
  export SLURM_CONF=$folder/slurm.conf
  slurmctld -c
  slurmd
  for _ in $(seq 60); do
    if [ "$(sinfo -h -o %T 2>/dev/null)" = idle ]; then return; fi
    sleep 0.5
  done
  sinfo >&2 || true
  tail -n 20 "$folder"/log/* >&2
  fail "Slurm did not come up within 30 s"
}

job_field() {
  scontrol --oneliner show job "$1" | tr ' ' '\n' | sed -n "s/^$2=//p" | head -n 1
}

# finish JOB SECONDS: waits for the job's end.
finish() {
  local until=$((SECONDS + $2))
  while :; do
    case $(job_field "$1" JobState) in
      COMPLETED | FAILED | CANCELLED | TIMEOUT | NODE_FAIL | OUT_OF_MEMORY) return ;;
    esac
    [ "$SECONDS" -lt "$until" ] || fail "job $1 did not end within $2 s: $(scontrol show job "$1")"
    sleep 1
  done
}

# submit NAME ARGUMENT...: prints the job's id; ARGUMENT... are those of the job script.
submit() {
  local name=$1
  shift
  sbatch --parsable --job-name="$name" --output="$folder/jobs/$name.log" \
    --ntasks-per-node=2 --cpus-per-task=1 --time=$minutes --signal="B:USR1@$signal_before" \
    "$job_script" -- "$@"
}

# The run is stopped before its limit, continued by the same job, and finishes.
check_restart() {
  local run=$folder/run log=$folder/jobs/restart.log job restarts
  job=$(submit restart "$@" "run.dir=$run")
  finish "$job" "$longest_wait"
  [ "$(job_field "$job" JobState)" = COMPLETED ] ||
    fail "the job ended as $(job_field "$job" JobState), $(job_field "$job" ExitCode)"
  restarts=$(job_field "$job" Restarts)
  [ "$restarts" -ge 1 ] || fail "the run was over before USR1 came: make it longer (train.steps)"
  grep -q "asked to stop" "$log" || fail "the job script did not see USR1"
  grep -q "stopped with checkpoint .*: requeued" "$log" || fail "the job was not requeued by exit 75"
  grep -q "resumed at step [1-9]" "$log" || fail "the second part did not resume"
  [ -f "$run/summary.json" ] || fail "no summary.json: the run did not finish"
  python3 - "$run/metrics.jsonl" <<'CHECK' || fail "metrics.jsonl"
import json, sys
steps = [json.loads(line)["step"] for line in open(sys.argv[1], encoding="utf-8")]
if not steps or steps != list(range(1, len(steps) + 1)):
    sys.exit(f"not each step exactly once: {len(steps)} lines, {len(set(steps))} different steps")
print(f"{len(steps)} steps, each exactly once")
CHECK
  echo "ok: stopped with a checkpoint, requeued $restarts time(s), finished"
}

# A program that only ever stops, with no new checkpoint, is given up.
check_stall() {
  local log=$folder/jobs/stall.log job
  job=$(CLTRAIN=$here/fake_cltrain FAKE_STALL=1 submit stall "run.dir=$folder/stalled")
  finish "$job" 180
  [ "$(job_field "$job" JobState)" = FAILED ] ||
    fail "a job without progress ended as $(job_field "$job" JobState), not FAILED"
  [ "$(job_field "$job" Restarts)" = 1 ] ||
    fail "a job without progress was restarted $(job_field "$job" Restarts) times, not once"
  grep -q "no new checkpoint twice in a row: not requeued" "$log" || fail "no reason was given"
  echo "ok: a job without progress is given up"
}

start_slurm
check_stall
check_restart "$@"
scontrol shutdown >/dev/null 2>&1 || true
