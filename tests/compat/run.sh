#!/usr/bin/env bash
# Tries other versions of Ray: runs the tests of what the sweep assumes about Ray, among them its
# private names, a pause with a resume, each scheduler and a population.
#
#   bash tests/compat/run.sh 2.58.1 2.59.0 2.60.0
#
# Run it in an environment with the extra `dev`, which lends everything but Ray; each version gets a
# small environment of its own, which is removed in the end. TESTS names other tests, MARKS other
# marks, WORKERS another number of processes than 2. Prints a line per version, and ends with 1 if
# one failed.
set -euo pipefail

if [ "$#" -eq 0 ]; then
    sed -n '2,/^set/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
    exit 2
fi

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
lender="$(python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"
tests="${TESTS:-tests/integration/test_tune_contract.py tests/integration/test_fake_tune.py
    tests/integration/test_pausing_schedulers.py tests/integration/test_population.py
    tests/integration/test_pause_resume.py tests/integration/test_own_ray.py
    tests/unit/sweeps/schedulers tests/unit/sweeps/trials tests/unit/sweeps/cluster}"

environment() { # called with `||`, where `set -e` has no effect
    local version="$1" python="$work/$1/bin/python" packages
    python -m venv --without-pip "$work/$version" || return 1
    python -m pip --python "$python" install --quiet --no-deps "ray==$version" || return 1
    packages="$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" || return 1
    # After its own packages it looks for those of the present environment.
    echo "$lender" >"$packages/lender.pth" || return 1
    python -m pip --python "$python" install --quiet --no-deps --no-build-isolation -e "$root" ||
        return 1
    "$python" -c 'import ray, sys; sys.exit(ray.__version__ != sys.argv[1])' "$version" || return 1
}

cd "$root"
lines=()
failed=0
for version in "$@"; do
    environment "$version" || { failed=1 && lines+=("ray $version: not installed") && continue; }
    printf '\n== ray %s\n' "$version"
    # shellcheck disable=SC2086 # a list of words
    env -u VIRTUAL_ENV PATH="$work/$version/bin:$PATH" python -m pytest -n "${WORKERS:-2}" -q \
        -m "${MARKS:-not long and not gpu and not cluster}" $tests |
        tee "$work/$version.log" || failed=1
    lines+=("ray $version: $(tail -n 1 "$work/$version.log")")
    rm -rf "${work:?}/$version"
done
printf '\n'
printf '%s\n' "${lines[@]}"
exit "$failed"
