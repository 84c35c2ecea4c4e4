"""A small ONNX encoder as somebody else would have made it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def foreign_encoder(
    path: Path, *, size: int | str = 8, layout: str = "nchw", width: int = 5, batch: int | str = "n", two: bool = False
) -> Path:
    """Means over quarters of a picture, times fixed weights: float (batch, 3, size, size) -> `embedding` (batch, width).

    two: also the output `map` (batch, 3, 2, 2) of the means, before it.
    """
    shape = [batch, 3, size, size] if layout == "nchw" else [batch, size, size, 3]
    weights = np.random.default_rng(7).normal(size=(12, width)).astype(np.float32)
    cut = 8 // 2 if isinstance(size, str) else size // 2
    nodes = [helper.make_node("Transpose", ["pixels"], ["x"], perm=[0, 3, 1, 2])] if layout == "nhwc" else []
    source = "x" if nodes else "pixels"
    nodes += [
        helper.make_node("AveragePool", [source], ["map"], kernel_shape=[cut, cut], strides=[cut, cut]),
        helper.make_node("Flatten", ["map"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["embedding"]),
    ]
    outputs = [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, [batch, width])]
    if two:
        outputs.insert(0, helper.make_tensor_value_info("map", TensorProto.FLOAT, [batch, 3, 2, 2]))
    graph = helper.make_graph(
        nodes,
        "foreign",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, shape)],
        outputs,
        [numpy_helper.from_array(weights, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return path


def by_hand(squares: np.ndarray, mean: tuple[float, ...], std: tuple[float, ...], width: int = 5) -> np.ndarray:
    """What the encoder says of uint8 (N, size, size, 3): (N, width)."""
    x = (squares / 255 - np.asarray(mean)) / np.asarray(std)
    half = squares.shape[1] // 2
    means = x.reshape(len(x), 2, half, 2, half, 3).mean((2, 4)).transpose(0, 3, 1, 2)  # (N, 3, 2, 2)
    return means.reshape(len(x), 12) @ np.random.default_rng(7).normal(size=(12, width)).astype(np.float32)
