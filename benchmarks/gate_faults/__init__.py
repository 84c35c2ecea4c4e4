"""Faults planted in folders of pictures, and which of them the gate sees: docs/results/gate_faults.json.

`python -m benchmarks.gate_faults` (an hour on two cores that are at work elsewhere, too; Fashion-MNIST must be in data/raw)
"""
