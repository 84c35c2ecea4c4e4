"""The gate between prepared data and training: a Great Expectations suite, its verdict, and Data Docs."""
