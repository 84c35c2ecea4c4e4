"""Sections as single numbers: how methods whose units are vectors are scored by measures that ask components.

Each section is replaced by its first principal component, fitted on train, as concept tokens are in DisCo, VCT and EncDiff.
"""

from __future__ import annotations

import numpy as np

from soda.common.errors import InputError


def first_components(x: dict[str, np.ndarray], sections: int) -> dict[str, np.ndarray]:
    """split -> (n, D) to split -> (n, sections). Raises InputError where `sections` do not divide D."""
    dim = x["train"].shape[1]
    if dim % sections:
        raise InputError(f"a latent of {dim} cannot be cut in {sections} equal sections")
    width = dim // sections
    found = {split: np.empty((len(values), sections)) for split, values in x.items()}
    for k in range(sections):
        part = slice(k * width, (k + 1) * width)
        centre = x["train"][:, part].mean(0)
        centred = x["train"][:, part] - centre
        axis = np.linalg.eigh(centred.T @ centred)[1][:, -1]  # of the greatest eigenvalue
        for split, values in x.items():
            found[split][:, k] = (values[:, part] - centre) @ axis
    return found
