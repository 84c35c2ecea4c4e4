"""Where `soda embed` puts its vectors: a table, an array, an index, or the database of another program.

A store is one file here; `choose.py` finds it by the ending or the scheme of the output. Each wants no more than its own library,
which is imported when it is used: `pip install '.[stores]'`.
"""
