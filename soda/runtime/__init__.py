"""Pictures to latents with NumPy, Pillow and onnxruntime alone: nothing here imports torch.

`Encoder("models/encoder.onnx").embed(["a.jpg", "b.png"])` gives (2, D) float32.
"""

from soda.runtime.encoder import Encoder, EncoderError
from soda.runtime.preprocess import PictureError

__all__ = ["Encoder", "EncoderError", "PictureError"]
