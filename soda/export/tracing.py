"""A torch module as an ONNX graph: traced, folded, simplified, and free of what only its making knows."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import onnx
import torch
from torch import Tensor, nn


def trace(
    module: nn.Module,
    example: tuple[Tensor, ...],
    *,
    opset: int,
    name: str,
    inputs: Sequence[str],
    outputs: Sequence[str],
    dynamic_shapes: Any,
) -> onnx.ModelProto:
    """The module as one ONNX graph without external data, in operators of the plain domain `opset`.

    example: inputs to trace with; a dimension that is to be free must be 2 or more in them. dynamic_shapes: for each input the
    names of its free dimensions. BatchNorm is folded into the convolutions; what the exporter notes of its own source lines is
    left out. The same module gives the same bytes.
    """
    with quiet("onnxscript", "onnx_ir", "torch.onnx"):
        program = torch.onnx.export(
            module,
            example,
            dynamo=True,
            external_data=False,
            opset_version=opset,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_shapes=dynamic_shapes,
            verbose=False,
        )
    assert program is not None  # it is, under dynamo=True
    return _strip(program.model_proto, name)


@contextmanager
def quiet(*names: str) -> Iterator[None]:
    """No warnings, and of the loggers of these names no line below an error; "" is the root."""
    levels = {logger: logger.level for logger in map(logging.getLogger, names)}
    try:
        for logger in levels:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in levels.items():
            logger.setLevel(level)


def _strip(graph: onnx.ModelProto, name: str) -> onnx.ModelProto:
    """Remove notes on source lines (with paths of the machine) and the shapes in between, which runtimes infer."""
    del graph.graph.value_info[:]
    del graph.metadata_props[:]
    del graph.graph.metadata_props[:]
    graph.doc_string = graph.graph.doc_string = ""
    graph.graph.name = name
    for part in (*graph.graph.node, *graph.graph.initializer, *graph.graph.input, *graph.graph.output):
        part.doc_string = ""
        del part.metadata_props[:]
    return graph
