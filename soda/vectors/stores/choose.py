"""Which store an output of `soda embed` names: by its ending, or by its scheme."""

from __future__ import annotations

import re
from pathlib import Path

from soda.vectors import VectorsError
from soda.vectors.stores.array_file import ArrayFile
from soda.vectors.stores.faiss_index import FaissIndex
from soda.vectors.stores.kinds import DEFAULT_TABLE, Database, Store
from soda.vectors.stores.lancedb_table import LanceTable
from soda.vectors.stores.qdrant_collection import QdrantCollection
from soda.vectors.stores.table_file import TableFile

ENDINGS: dict[str, type[Store]] = {".parquet": TableFile, ".npz": TableFile, ".npy": ArrayFile, ".faiss": FaissIndex}
SCHEMES: dict[str, type[Database]] = {"lancedb": LanceTable, "qdrant": QdrantCollection}
"""A folder behind it, and behind that, after a #, the table: lancedb:FOLDER, qdrant:FOLDER#shoes."""


def output_named(text: str) -> Path:
    """What a person typed, as a path. Raises VectorsError for an address, of which a path would keep half: lancedb://a is /a."""
    address = re.match(r"([a-z][a-z0-9+.-]*)://+(.*)", text, re.IGNORECASE)
    if address is None:
        return Path(text)
    scheme, rest = address[1].lower(), address[2]
    if scheme in SCHEMES:
        raise VectorsError(f"{text}: must be {scheme}:FOLDER, a folder of this machine, without //: {scheme}:{rest or 'FOLDER'}")
    raise VectorsError(f"{text}: cannot be written; vectors go to files and folders of this machine, not to an address")


def store_of(output: Path) -> Store:
    """The store that `output` names. Raises VectorsError for another ending, and for a table that cannot be called so."""
    scheme, colon, rest = str(output).partition(":")
    if colon and scheme in SCHEMES:
        folder, _, table = rest.partition("#")
        table = table or DEFAULT_TABLE
        if not folder or not re.fullmatch(r"\w[\w-]*", table, re.ASCII):
            raise VectorsError(
                f"{output}: must be {scheme}:FOLDER or {scheme}:FOLDER#TABLE, the table of letters, digits, _ and -"
            )
        return SCHEMES[scheme](Path(folder).expanduser(), table)  # a shell expands no ~ behind a colon
    if output.suffix not in ENDINGS:
        forms = ", ".join([*ENDINGS, *(f"{scheme}:FOLDER" for scheme in SCHEMES)])
        raise VectorsError(f"{output}: cannot be written; it must be one of {forms}")
    return ENDINGS[output.suffix](output)
