"""What an exported graph must be, so that every onnxruntime that is allowed loads it."""

from __future__ import annotations

import onnx

FUSED_LATE = ("Transpose", "MatMul")
"""In float64 a fused kernel of these two is there from onnxruntime 1.26 on only, and older ones fuse them all the same."""


def turned_products(graph: onnx.ModelProto) -> list[str]:
    """Names of the MatMuls that take the output of a Transpose as it is."""
    made_by = {output: node for node in graph.graph.node for output in node.output}
    before, after = FUSED_LATE
    products = [node for node in graph.graph.node if node.op_type == after]
    return [node.name for node in products if any(name in made_by and made_by[name].op_type == before for name in node.input)]


def least_ir_version(graph: onnx.ModelProto) -> int:
    """That of its opset: 8 for 18."""
    return onnx.helper.find_min_ir_version_for(graph.opset_import)
