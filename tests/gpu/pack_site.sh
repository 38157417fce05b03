#!/usr/bin/env bash
# Packs what a machine without network lacks to run this project: Ray and whatever is neither in
# PROVIDED nor in Python itself. The archive is small enough to be copied along (under 50 MB); Ray
# is packed without its Java, RLlib, Serve and dashboard parts. For tests only.
#
# Usage: pack_site.sh OUT_DIR [REQUIREMENT...]    writes OUT_DIR/site.tar.xz
#
# The machine is x86-64 Linux with torch. run_all.sh unpacks the archive by itself; elsewhere unpack
# it and put the directory on PYTHONPATH.
#   PYTHON_VERSION=3.12   of that machine
#   RAY_VERSION=2.60.0
#   PROVIDED="..."        packages that the machine has
set -euo pipefail

: "${PYTHON_VERSION:=3.12}" "${RAY_VERSION:=2.60.0}"
: "${PROVIDED:=attrs click filelock fsspec hypothesis msgpack narwhals numpy packaging pandas
    pillow
    protobuf pyarrow pytest pytest-timeout pytest-xdist pyyaml requests rich scikit-learn scipy
    tensorboard torch torchvision tqdm}"

[[ $# -ge 1 ]] || { sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0"; exit 2; }
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
mkdir -p "$1"
out=$(cd "$1" && pwd)
shift
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

download() {
    local platforms=() tag
    for tag in manylinux2014 manylinux_2_17 manylinux_2_24 manylinux_2_28; do
        platforms+=(--platform "${tag}_x86_64")
    done
    python3 -m pip download --quiet --no-deps --only-binary=:all: --implementation cp \
        --python-version "$PYTHON_VERSION" "${platforms[@]}" --dest "$work/wheels" "$@"
}

download "ray==$RAY_VERSION" jsonschema jsonschema-specifications referencing rpds-py tensorboardX \
    pydantic typing-inspection typing-extensions annotated-types optuna alembic colorlog \
    sqlalchemy Mako MarkupSafe plotly kornia kornia-rs torchmetrics lightning-utilities safetensors \
    "$@"
# pydantic accepts exactly one version of its core.
core=$(unzip -p "$work"/wheels/pydantic-2*.whl '*/METADATA' |
    sed -n 's/^Requires-Dist: *\(pydantic-core==[^ ;]*\).*/\1/p')
download "$core"

mkdir "$work/site"
for wheel in "$work"/wheels/*.whl; do
    unzip -q -o "$wheel" -d "$work/site"
done
python3 "$here/check_site.py" "$work/site" --python "$PYTHON_VERSION" --provided $PROVIDED

cd "$work/site"
rm -rf ray/jars ray/rllib ray/llm ray/serve ray/dashboard/client ray/cpp
binaries=(ray/_raylet.so ray/core/src/ray/raylet/raylet ray/core/src/ray/gcs/gcs_server)
if command -v strip >/dev/null; then
    strip --strip-unneeded "${binaries[@]}"
else
    echo "strip is not installed: the archive will be larger" >&2
fi
tar cJf "$out/site.tar.xz" .
ls -l "$out/site.tar.xz"
