#!/usr/bin/env bash
# make_env.sh NAME: an environment for one trainer in .interop/NAME, with exactly what its data pipeline and its trainer
# import on a CPU. NAME is axolotl, llama-factory or ms-swift; or, with XTF beside it, data-juicer, a data pipeline, or
# deepspeed, which shards what XTF trains (it compiles on first use: a C++ compiler is needed).
# PYTHON chooses the interpreter (3.11 was tested).
# torch comes from pip's own index; set PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu to spare the CUDA build.
set -euo pipefail
cd "$(dirname "$0")/../.."
wanted="tests/interop/requirements/$1.txt"
[ -f "$wanted" ] || { echo "no such trainer: $1. There are: $(ls tests/interop/requirements | sed 's/\.txt$//' | tr '\n' ' ')"; exit 1; }
folder=".interop/$1"
"${PYTHON:-python3}" -m venv "$folder"
pip=("$folder/bin/python" -m pip --disable-pip-version-check install -q)
"${pip[@]}" torch==2.13.0
case "$1" in data-juicer | deepspeed) "${pip[@]}" -c constraints.txt -e . ;; esac
DS_BUILD_OPS=0 "${pip[@]}" --no-deps -r "$wanted"
cp "$wanted" "$folder/installed.txt"
echo "$folder is ready"
