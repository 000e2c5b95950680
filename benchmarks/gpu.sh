#!/usr/bin/env bash
# What is to be checked on a machine with a GPU, in this order; logs go to the folder $OUT.
#     OUT=/tmp/gpu bash benchmarks/gpu.sh
# About 12 minutes; benchmarks/results has what came of it.
set -o pipefail
export PYTHONUNBUFFERED=1 OMP_NUM_THREADS=1 OUT="${OUT:-/tmp/gpu}"
mkdir -p "$OUT"
{ nvidia-smi; python3 -c "import torch, torchvision, mlflow; print(torch.__version__, torchvision.__version__, mlflow.__version__)"; git rev-parse HEAD; } 2>&1 | tee "$OUT/versions.log"

# 1. The main job and the tests on CUDA.
export MLFLOW_TRACKING_URI="sqlite:///$OUT/mlflow.db"
timeout 60 python3 -m mu.cli.mu doctor
timeout 120 python3 -m entrypoints.unlearn --oracle_run_id train --device cuda 2>&1 | tee "$OUT/main_job.log"
unset MLFLOW_TRACKING_URI
timeout 150 python3 -m pytest tests/test_cuda.py -n 6 -W default 2>&1 | tee "$OUT/cuda.log"
timeout 240 python3 -m pytest tests -n 14 --dist loadfile -m 'not slow' -W default 2>&1 | tee "$OUT/suite.log"

# 2. The training benchmark at 32x32, ResNet-18, batch 256, and second-order methods.
timeout 120 python3 -m benchmarks.training --arch resnet18 --samples 12800 --workers 8 --rounds 3 2>&1 | tee "$OUT/training_bf16.md"
timeout 80 python3 -m benchmarks.training --arch resnet18 --samples 12800 --workers 8 --rounds 2 --precision fp32 2>&1 | tee "$OUT/training_fp32.md"
timeout 100 python3 -m benchmarks.second_order --arch resnet18 --samples 256 --iu-samples 128 --rounds 2 --memory-samples 0 2>&1 | tee "$OUT/second_order.md"
