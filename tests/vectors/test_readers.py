"""What other programs see in a table of `soda embed`: docs/deploying.md says it, and this holds it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from soda.vectors.origin import Origin
from soda.vectors.store import Writer, read_vectors

DIM = 16


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("readers") / "vectors.parquet"
    z = np.random.default_rng(0).normal(size=(5, DIM)).astype(np.float32)
    with Writer(path, ".parquet", Origin("/pictures", "0" * 64, DIM, None, [0.0] * DIM, [1.0] * DIM)) as writer:
        writer.append([f"{i}.png" for i in range(5)], z)
    return path


def test_duckdb_sees_a_list_and_casts_it_to_an_array(table: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    columns = duckdb.sql(f"DESCRIBE SELECT * FROM '{table}'").fetchall()
    assert [column[:2] for column in columns] == [
        ("file", "VARCHAR"),
        ("z", "FLOAT[]"),
        ("size", "BIGINT"),
        ("modified", "BIGINT"),
    ]
    cosine = f"array_cosine_similarity(one.z::FLOAT[{DIM}], other.z::FLOAT[{DIM}])"
    pairs = f"SELECT {cosine} FROM '{table}' one, '{table}' other WHERE one.file = '0.png' ORDER BY other.file"
    z = read_vectors(table).z
    np.testing.assert_allclose([row[0] for row in duckdb.sql(pairs).fetchall()], z @ z[0], atol=1e-5)


def test_pandas_sees_an_array_in_each_cell(table: Path) -> None:
    import pandas as pd

    frame = pd.read_parquet(table)
    assert list(frame.columns) == ["file", "z", "size", "modified"] and frame["z"].dtype == object
    z = np.stack(frame["z"])
    assert z.shape == (5, DIM) and z.dtype == np.float32


def test_polars_sees_an_array_of_fixed_length(table: Path) -> None:
    polars = pytest.importorskip("polars")
    frame = polars.read_parquet(table)
    whole = {"size": polars.Int64, "modified": polars.Int64}
    assert frame.schema == {"file": polars.String, "z": polars.Array(polars.Float32, DIM)} | whole
    assert frame["z"].to_numpy().shape == (5, DIM)
