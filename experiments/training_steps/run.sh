#!/bin/sh
# Measures a set's runs and kernels on one GPU: run.sh OUTDIR [--set NAME] [--small]
# Environment: BUDGET_SECONDS for all (205), of which JAX_SECONDS for the runs under JAX (50) and KERNEL_SECONDS for kernels (20).
# Taken up again in a new process where the GPU's context is lost on the way; rows are on disk as soon as they are known, and
# what hangs is ended.
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
began=$(date +%s)
budget=${BUDGET_SECONDS:-205}
jax=${JAX_SECONDS:-50}
torch=$((budget - jax))
export HF_HUB_OFFLINE=1
for attempt in 1 2 3; do
    timeout -k 5 $((began + torch + 15 - $(date +%s))) "${PYTHON:-python3}" "$here/steps.py" "$@" --began "$began" \
        --budget-seconds "$torch" --kernel-seconds "${KERNEL_SECONDS:-20}"
    status=$?
    [ "$status" -eq 3 ] || break
done
timeout -k 5 $((began + budget + 10 - $(date +%s))) "${PYTHON:-python3}" "$here/jax_steps.py" "$@" \
    --began "$began" --budget-seconds "$budget" || echo "run.sh: the runs under JAX ended with status $?" >&2
exit "$status"
