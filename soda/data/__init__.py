"""Pictures from their sources to prepared shards, and the gate between them and training."""
