"""Pictures to latents with NumPy, Pillow and onnxruntime alone: nothing here imports torch."""
