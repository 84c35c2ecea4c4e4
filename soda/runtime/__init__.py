"""Pictures to latents and back with NumPy, Pillow and onnxruntime alone: nothing here imports torch.

`Encoder("models/encoder.onnx").embed(["a.jpg", "b.png"])` gives (2, D) float32, `Decoder("models/denoiser.onnx").sample(z)`
pictures.
"""

from soda.runtime.neighbours import duplicates, nearest, novelty, similarity
from soda.runtime.onnx_decoder import Decoder, DecoderError
from soda.runtime.onnx_encoder import Embedded, Encoder, EncoderError
from soda.runtime.preprocess import PictureError
from soda.runtime.session import ModelError
from soda.runtime.stream import Skipped
from soda.runtime.walk import pictures_in

__all__ = [
    "Decoder",
    "DecoderError",
    "Embedded",
    "Encoder",
    "EncoderError",
    "ModelError",
    "PictureError",
    "Skipped",
    "duplicates",
    "nearest",
    "novelty",
    "pictures_in",
    "similarity",
]
