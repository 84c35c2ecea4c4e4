"""Folders of pictures as tables of latents, and what can be found in them: neighbours, duplicates, clusters, outliers.

Built on soda.runtime: NumPy, Pillow and onnxruntime are enough. Parquet wants pyarrow, and sets of many thousands an approximate
index: `pip install '.[search]'`.
"""

from soda.common.errors import SodaError


class VectorsError(SodaError, ValueError):
    """A table of latents that cannot be read or used; the message names the file and what is wrong."""
