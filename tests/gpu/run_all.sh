#!/usr/bin/env bash
# Runs everything that needs a GPU, most valuable first, in one command of at most BUDGET seconds.
# Usage: run_all.sh [STAGE...]   All stages run by default; README.md beside this file lists them.
#
# Every stage has its own limit. The table comes last and grows in $OUT/table.txt meanwhile; all
# output is in $OUT/all.log. Exit code 1 if a stage failed or was cut off.
#   BUDGET=570           seconds for all stages; 1800 in a rehearsal
#   OUT=/tmp/gpu_out     where results go
#   PYTHON=python3       has torch; whatever else is missing comes from SITE
#   SITE=.gpu/site.tar.xz  archive of pack_site.sh; not needed where everything is installed
#   SMOKE_DEVICE=cpu     rehearses without a GPU, as happens by itself where there is none
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

BUDGET=${BUDGET:-}
OUT=${OUT:-/tmp/gpu_out}
PYTHON=${PYTHON:-python3}
SITE=${SITE:-.gpu/site.tar.xz}
TABLE=$OUT/table.txt
SELECTED=" $* "
FAILED=0
SWEEPS=/tmp/gpu_sweeps
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT

export PYTHONUNBUFFERED=1 RAY_memory_monitor_refresh_ms=0 RAY_USAGE_STATS_ENABLED=0
export CUDA_DEVICE_MAX_CONNECTIONS=32 TORCHINDUCTOR_CACHE_DIR=${TORCHINDUCTOR_CACHE_DIR:-/tmp/inductor}
export PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH}

STAGES="about smoke pytest pytest_failing steps sweep_quarter sweep_card E P20 P18 compiled C EC P20eager"
for name in "$@"; do
    [[ " $STAGES " == *" $name "* ]] || {
        echo "no stage is called \"$name\"; there are: $STAGES" >&2
        exit 2
    }
done

mkdir -p "$OUT"
: >"$TABLE"
: >"$OUT/all.log"

say() { echo "$*" | tee -a "$TABLE"; }

fail() {
    FAILED=1
    say "FAIL $*"
}

is_selected() { [[ $SELECTED == "  " || $SELECTED == *" $1 "* ]]; }

# Lines of a stage's output that belong into the table.
SHOWN='^(ok |-- |FAIL|P |P[0-9] |S |[CEP][0-9]|ERROR|FAILED|[0-9]+ (passed|failed)|no tests|best: trial|[0-9]+/?[0-9]* tests? collected|[A-Za-z.]*Error: )'

# stage NAME LIMIT COMMAND...
stage() {
    local name=$1 limit=$2 left=$((BUDGET - SECONDS - 6)) started=$SECONDS code
    shift 2
    is_selected "$name" || return 0
    ((limit > left)) && limit=$left
    if ((limit < 8)); then
        fail "$name: no time left"
        return 0
    fi
    timeout -k 5 "$limit" "$@" >"$WORK/$name" 2>&1
    code=$?
    if ((code == 124 || code == 137)); then
        say "== $name: $((SECONDS - started)) s, cut off at its limit of $limit s"
    else
        say "== $name: $((SECONDS - started)) s, exit code $code"
    fi
    ((code == 0)) || FAILED=1
    grep -aE "$SHOWN" "$WORK/$name" | tail -n 50 | cut -c1-190 | tee -a "$TABLE"
    if ((code != 0)); then
        grep -avE "$SHOWN" "$WORK/$name" | tail -n 3 | cut -c1-190 | sed 's/^/   | /' |
            tee -a "$TABLE"
    fi
    {
        echo "######## $name"
        tail -n 400 "$WORK/$name"
    } >>"$OUT/all.log"
}

needs_gpu() { is_selected "$1" && say "== $1: needs a GPU"; }

use_site() {
    "$PYTHON" -c 'import optuna, plotly, pydantic, ray, typing_extensions' 2>/dev/null && return
    if [[ ! -f $SITE ]]; then
        fail "packages are missing, and so is $SITE"
        return
    fi
    mkdir "$WORK/site" && tar xJf "$SITE" -C "$WORK/site" || fail "$SITE cannot be unpacked"
    export PYTHONPATH=$WORK/site:$PYTHONPATH
}

# The files are looked up, so that a new test is run without being listed here.
gpu_test_files() { grep -rlE 'pytest\.mark\.gpu' tests --include='test_*.py' | sort; }

run_pytest() { "$PYTHON" -m pytest -q -m gpu -n 0 -p no:cacheprovider --no-header -rf "$@"; }

# A recording that fails on purpose has a process of its own: should the clean-up not work, then
# no other test of that process could record.
FAILING=recording_that_fails
pytest_apart() {
    local test tests code=0
    tests=$(run_pytest --collect-only -k "$FAILING" $(gpu_test_files) | grep '::')
    [[ -n $tests ]] || { echo "ERROR no test is named *$FAILING*"; return 1; }
    for test in $tests; do
        run_pytest --timeout 60 "$test" || code=1
    done
    return $code
}
export -f gpu_test_files run_pytest pytest_apart
export PYTHON FAILING

sweep() { # NAME LIMIT --set...
    local name=$1 limit=$2
    shift 2
    is_selected "$name" || return 0
    rm -rf "${SWEEPS:?}/$name"
    stage "$name" "$limit" "$PYTHON" sweeps/run.py tests/gpu/search.yaml \
        --set "name=$name" --set "config.checkpoint.dir=$SWEEPS" "$@"
    cat "$SWEEPS/$name"/*/metrics.jsonl 2>/dev/null |
        grep -oE '"cuda_graph": *"[^"]*"' | sort | uniq -c | sort -rn | head -4 | tee -a "$TABLE"
    cat "$SWEEPS/$name"/*/trial.log 2>/dev/null |
        grep -aE 'note:|Error' | sed 's/^[0-9: -]*//' | sort | uniq -c | sort -rn | head -4 |
        tee -a "$TABLE"
}

use_site
[[ ${SMOKE_DEVICE:-} == cpu ]] && export CUDA_VISIBLE_DEVICES=
if "$PYTHON" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then
    ON_GPU=1
    BUDGET=${BUDGET:-570}
else
    ON_GPU=0
    BUDGET=${BUDGET:-1800}
    export SMOKE_DEVICE=cpu
    say "no GPU: a rehearsal; its figures mean nothing"
fi

stage about 60 "$PYTHON" -m tests.gpu.about
if ((ON_GPU)); then
    SMOKE_LIMIT=95 stage smoke 100 "$PYTHON" -m tests.gpu.smoke basic graphs failures leaks packed
    stage pytest 90 bash -c "run_pytest --timeout 60 -k 'not $FAILING' \$(gpu_test_files)"
    stage pytest_failing 45 bash -c pytest_apart
    stage steps 120 "$PYTHON" -m tests.gpu.step_time resnet20 resnet18
    sweep sweep_quarter 60 --set resources.gpu=0.25
    sweep sweep_card 60 --set resources.gpu=0.25 --set resources.process=shared
    stage E 120 "$PYTHON" -m tests.benchmarks --profile gpu-quick E1 E2 E3 --output "$OUT/E.json"
    stage P20 80 "$PYTHON" -m tests.gpu.packing_quick resnet20 --plain --one-process 1 2 4 8 16 --processes 1 8
    stage P18 60 "$PYTHON" -m tests.gpu.packing_quick resnet18 --one-process 1 2 4 --processes 1 4
    SMOKE_LIMIT=110 stage compiled 115 "$PYTHON" -m tests.gpu.smoke compiled
    stage C 60 "$PYTHON" -m tests.benchmarks --profile gpu-quick C2 C3 --output "$OUT/C.json"
    stage EC 150 "$PYTHON" -m tests.benchmarks --profile gpu-quick E1C E2C E3C --output "$OUT/EC.json"
    stage P20eager 60 "$PYTHON" -m tests.gpu.packing_quick resnet20 --eager --plain --one-process 1 8 --processes 1 8
else
    SMOKE_LIMIT=590 stage smoke 600 "$PYTHON" -m tests.gpu.smoke basic graphs failures leaks packed
    needs_gpu pytest && stage pytest 90 bash -c "run_pytest --collect-only \$(gpu_test_files) | tail -n 3"
    needs_gpu pytest_failing
    needs_gpu compiled
    stage steps 120 "$PYTHON" -m tests.gpu.step_time resnet20
    small=(--set config.dataset.num_train=64 --set config.dataset.num_test=16
        --set config.training.batch_size=16 --set config.training.epochs=2
        --set tune.num_samples=2 --set resources.cpu=1 --set resources.gpu=0)
    sweep sweep_quarter 120 "${small[@]}"
    sweep sweep_card 120 "${small[@]}" --set resources.process=shared
    stage E 300 "$PYTHON" -m tests.benchmarks --profile rehearsal E1 E2 E3 --output "$OUT/E.json"
    stage P20 300 "$PYTHON" -m tests.gpu.packing_quick resnet20 --plain --one-process 1 2 --processes 1 --seconds 1
    needs_gpu P18
    stage C 300 "$PYTHON" -m tests.benchmarks --profile rehearsal C2 C3 --output "$OUT/C.json"
    needs_gpu P20eager
    needs_gpu EC
fi
echo
echo "################ $SECONDS s in all"
cat "$TABLE"
exit $FAILED
