#!/usr/bin/env bash
# What to do with a GPU that is rented for some minutes:
#
#     scripts/gpu_minutes.sh MINUTES DATA OUT [--config train/configs/gpu-leaves.yaml] [--wheels FOLDER]
#
# Tests, measures, trains, searches and evaluates, and may be cut off at any second: see scripts/gpu_minutes.py.
# PYTHON names a Python that has torch.
set -euo pipefail
exec "${PYTHON:-python3}" "$(dirname "$0")/gpu_minutes.py" "$@"
