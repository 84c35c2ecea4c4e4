"""The published protocols of disentanglement, one file a score; `protocol.py` computes all of them."""
