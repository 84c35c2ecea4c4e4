"""Runs vectors.sql on a table of `soda embed` and prints what each query gives. Needs `pip install duckdb`.

python examples/duckdb_search.py vectors.parquet "a/picture.png"
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import duckdb


def main(table: Path, query: str) -> list[list[tuple[Any, ...]]]:
    """The rows of every query. query: a file of the table."""
    database = duckdb.connect()
    database.execute("SET VARIABLE query = ?", [query])
    database.from_parquet(str(table)).create_view("vectors")
    answers = []
    for statement in duckdb.extract_statements((Path(__file__).parent / "vectors.sql").read_text(encoding="utf-8")):
        result = database.execute(statement)
        print("  ".join(column[0] for column in result.description or []))
        rows = result.fetchall()
        for row in rows:
            print("  ".join(f"{value:.4f}" if isinstance(value, float) else str(value) for value in row))
        print()
        answers.append(rows)
    return answers


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
