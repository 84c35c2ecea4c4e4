"""Faults planted in folders of pictures, and which of them the gate sees: docs/results/gate_faults.json.

`python -m benchmarks.gate_faults` (an hour: 54 minutes on two cores under load; Fashion-MNIST must be in data/raw)
"""
