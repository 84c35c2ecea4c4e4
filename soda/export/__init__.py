"""The trained encoder as one ONNX file, held to the torch model on real pictures."""


class ExportError(ValueError):
    """An export that is not what the torch model computes, or cannot be made; the message names the picture or the file."""
