#!/bin/sh
# Measures the runs and kernels on one GPU: run.sh OUTDIR [--small] [--budget-seconds N]
# Taken up again in a new process where the GPU's context is lost on the way; rows are on disk as soon as they are known.
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
began=$(date +%s)
export HF_HUB_OFFLINE=1
for attempt in 1 2 3; do
    "${PYTHON:-python3}" "$here/steps.py" "$@" --began "$began"
    status=$?
    [ "$status" -eq 3 ] || exit "$status"
done
exit "$status"
