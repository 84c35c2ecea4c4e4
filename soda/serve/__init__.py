"""`soda serve`: encoder.onnx as an HTTP service. Needs the extra `serve`; torch is never loaded.

The tensors speak the Open Inference Protocol v2 (`inference`), pictures come as a plain multipart form (`pictures`). `batching`
puts requests together for the one session, `guard` holds clients to the `limits`, `server` stops without losing one.
"""
