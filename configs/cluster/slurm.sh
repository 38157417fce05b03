#!/usr/bin/env bash
# A sweep on the nodes of a Slurm job: a Ray node on each, the sweep on the first one.
#
#   sbatch configs/cluster/slurm.sh search.yaml
#
# Before: `sweep` and `ray` on the path (activate the environment here if they are not), and in the
# search file a checkpoint.dir that the nodes share. Submitted once more, the sweep goes on; it is
# paused five minutes before Slurm ends the job, which is enough for an epoch.
#SBATCH --job-name=tune-sweeps
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --gpus-per-node=1
#SBATCH --time=08:00:00
#SBATCH --signal=B:TERM@300
set -euo pipefail

search="${1:?usage: sbatch slurm.sh SEARCH_FILE [OPTIONS OF sweep run]}"
shift

export RAY_USAGE_STATS_ENABLED=0
# Whoever reaches the port could run code: only who knows this run's token may. It is in no file.
export RAY_AUTH_MODE=token
RAY_AUTH_TOKEN="$(python -c 'import secrets; print(secrets.token_hex(32))')"
export RAY_AUTH_TOKEN

trap 'kill $(jobs -p) 2>/dev/null || true' EXIT
mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
head="${nodes[0]}"
port=$((20000 + SLURM_JOB_ID % 10000))
here=(srun --overlap --nodes=1 --ntasks=1 --export=ALL)
size=(--num-cpus="$SLURM_CPUS_PER_TASK" --num-gpus="${SLURM_GPUS_ON_NODE:-0}")

"${here[@]}" --nodelist="$head" \
    ray start --head --block --port="$port" --include-dashboard=false "${size[@]}" &
for node in "${nodes[@]:1}"; do
    "${here[@]}" --nodelist="$node" \
        bash -c 'until ray start --block "$@"; do sleep 5; done' ray \
        --address="$head:$port" "${size[@]}" &
done

# The sweep counts its slots when it starts: all nodes first.
python - "$head:$port" "${#nodes[@]}" <<'PYTHON'
import sys, time
import ray

address, wanted = sys.argv[1], int(sys.argv[2])
for _ in range(60):
    try:
        ray.init(address=address, logging_level="ERROR")
        break
    except ConnectionError:
        time.sleep(5)
while sum(node["Alive"] for node in ray.nodes()) < wanted:
    time.sleep(5)
PYTHON

# Slurm signals this shell; the sweep is told, and waited for.
sweep run "$search" --address "$head:$port" --or-resume "$@" &
sweep=$!
trap 'kill -TERM "$sweep"' TERM
code=0
wait "$sweep" || code=$?
while kill -0 "$sweep" 2>/dev/null; do wait "$sweep" || code=$?; done
exit "$code"
