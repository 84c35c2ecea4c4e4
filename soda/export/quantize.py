"""8-bit encoders: static quantisation, calibrated on training pictures. The settings are searched; the probe chooses.

Weights are signed with a scale a channel and 7 bits wide (`reduce_range`), activations unsigned: the one combination that is fast
on processors with and without VNNI and saturates on neither. The preprocessing stays as it is: it is exact.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime

from soda.data.dataset import Split
from soda.export import ExportError
from soda.export.statistics import evenly_spaced, gather_rgb
from soda.export.tracing import quiet
from soda.runtime.metadata import INPUT

BATCH = 32
QUANTIZED = ("Conv", "Gemm", "MatMul", "Add", "Relu", "AveragePool", "GlobalAveragePool", "MaxPool", "Reshape", "Flatten")


@dataclass(frozen=True)
class Settings:
    """How to quantise. calibration: how the ranges of activations are found. keep: parts that stay in floating point."""

    calibration: str  # minmax or percentile
    keep: tuple[str, ...] = ()  # of "first" (the first convolution) and "last" (the layer that makes z)

    def __str__(self) -> str:
        return " + ".join([self.calibration, *(f"{part} layer in fp32" for part in self.keep)])


CANDIDATES = (Settings("minmax"), Settings("percentile"), Settings("minmax", ("first",)), Settings("percentile", ("first",)))


def _calibration(split: Split, count: int) -> Iterator[dict[str, np.ndarray]]:
    """Training pictures, a batch at a time; all of one size, without which ranges by percentile cannot be found."""
    indices = evenly_spaced(len(split), count)
    for start in range(0, max(1, len(indices) - BATCH + 1), BATCH):
        yield {INPUT: gather_rgb(split, indices[start : start + BATCH])}


def quantize(source: Path, target: Path, split: Split, count: int, settings: Settings) -> None:
    """Write the encoder `source` (fp32 ONNX) with 8-bit weights and activations (QDQ) to `target`; metadata are not carried over.

    split, count: the pictures that calibrate. Raises ExportError when the split has none, or the graph has no convolution.
    """
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    if not len(split):
        raise ExportError(f"the {split.name} split has no pictures to calibrate an 8-bit encoder on")
    methods = {"minmax": CalibrationMethod.MinMax, "percentile": CalibrationMethod.Percentile}
    with _silent():
        quantize_static(
            str(source),
            str(target),
            SimpleNamespace(get_next=partial(next, _calibration(split, count), None)),  # what it asks for batches
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(QUANTIZED),
            nodes_to_quantize=_nodes(onnx.load(source), settings.keep),
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=methods[settings.calibration],
            extra_options={"CalibPercentile": 99.99} if settings.calibration == "percentile" else {},
        )


def to_half(source: Path) -> onnx.ModelProto:
    """The encoder with weights and activations in fp16; the preprocessing and z stay as they are.

    Every constant of the network is stored in half precision and widened where it is used, so that runtimes without fp16 kernels
    (most processors) run it, too: half the file, the same speed.
    """
    graph = onnx.load(source)
    network = {name for node in _network(graph) for name in node.input}
    casts = []
    for tensor in graph.graph.initializer:
        if tensor.name in network and tensor.data_type == onnx.TensorProto.FLOAT:
            values = onnx.numpy_helper.to_array(tensor)
            limit = np.finfo(np.float16).max
            half, name = np.clip(values, -limit, limit).astype(np.float16), tensor.name
            tensor.CopyFrom(onnx.numpy_helper.from_array(half, f"{name}_fp16"))
            casts.append(onnx.helper.make_node("Cast", [f"{name}_fp16"], [name], name=f"{name}_cast", to=onnx.TensorProto.FLOAT))
    for node in reversed(casts):
        graph.graph.node.insert(0, node)
    return graph


def _network(graph: onnx.ModelProto) -> list[onnx.NodeProto]:
    """The nodes from the first convolution on: all that is not preprocessing. Raises ExportError without one."""
    nodes = list(graph.graph.node)
    first = next((i for i, node in enumerate(nodes) if node.op_type == "Conv"), None)
    if first is None:
        raise ExportError("the encoder has no convolution: nothing in it can be made smaller")
    return nodes[first:]


def _nodes(graph: onnx.ModelProto, keep: tuple[str, ...]) -> list[str]:
    nodes = _network(graph)
    left_out = {nodes[{"first": 0, "last": -1}[part]].name for part in keep}
    return [node.name for node in nodes if node.name not in left_out]


@contextmanager
def _silent() -> Iterator[None]:
    """The quantiser prints, warns and logs of its progress."""
    onnxruntime.set_default_logger_severity(3)
    try:
        with quiet(""), open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
            yield
    finally:
        onnxruntime.set_default_logger_severity(2)
