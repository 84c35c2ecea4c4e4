"""Faults planted in folders of pictures, and which of them the gate sees: docs/results/gate_faults.json.

`python -m benchmarks.gate_faults` (a quarter of an hour on two cores; Fashion-MNIST must be in data/raw)
"""
