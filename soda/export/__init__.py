"""The trained encoder as one ONNX file, held to the torch model on real pictures."""

from soda.common.errors import SodaError


class ExportError(SodaError, ValueError):
    """An export that is not what the torch model computes, or cannot be made; the message names the picture or the file."""
