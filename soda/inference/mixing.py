"""Style and content: sections of z from one picture, the others from another. Section 0 is the finest, the last the coarsest."""

from __future__ import annotations

import numbers
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from soda.common.errors import InputError
from soda.model.modulation import mask_sections


def require_sections(latent_dim: int, sections: int) -> None:
    """Raise ValueError when z does not fall into equal sections (a model without layer modulation may have such a z)."""
    if latent_dim % sections:
        raise InputError(f"{sections} sections do not divide a latent of {latent_dim}: this model has no sections to work on")


def fine_sections(cut: int, sections: int) -> list[int]:
    """The `cut` finest sections. Raises ValueError for a cut outside 0 (none) to `sections` (all)."""
    if not 0 <= cut <= sections:
        raise InputError(f"cut: {cut!r} is not possible; it must be 0 (all from the content) to {sections} (all from the style)")
    return list(range(cut))


def keep_only(chosen: Iterable[int], sections: int) -> Tensor:
    """A mask (1, sections) of 1 at `chosen`. Raises ValueError for a section that does not exist."""
    keep = torch.zeros(1, sections)
    for k in chosen:
        if not isinstance(k, numbers.Integral) or not 0 <= k < sections:
            raise InputError(f"section {k!r} does not exist; this model has sections 0 to {sections - 1}")
        keep[0, k] = 1
    return keep


def mix(style: Tensor, content: Tensor, chosen: Iterable[int], sections: int) -> Tensor:
    """The sections `chosen` from `style`, the others from `content`: (B, D) and (B, D) -> (B, D)."""
    require_sections(style.shape[1], sections)
    keep = keep_only(chosen, sections).to(style)
    return mask_sections(style, keep) + mask_sections(content, 1 - keep)


def mixes(
    styles: Tensor, contents: Tensor, sections: int, *, cut: int | None, chosen: Sequence[int] | None, every_cut: bool
) -> Tensor:
    """Every content (K, D) with every style (S, D): by the finest sections up to `cut` (half of them), by the `chosen` ones, or
    one of each at every cut. Raises ValueError when more than one way is asked for.
    """
    if (cut is not None) + (chosen is not None) + every_cut > 1:
        raise InputError("cut, sections and every_cut exclude one another: give one of them")
    if every_cut:
        if len(styles) != 1 or len(contents) != 1:
            raise InputError(f"every_cut takes one style and one content, not {len(styles)} and {len(contents)}")
        return torch.cat([mix(styles, contents, range(each), sections) for each in range(sections + 1)])
    if chosen is None:  # half of them: the middle one is not among the finer ones
        chosen = fine_sections(sections // 2 if cut is None else cut, sections)
    rows = styles.repeat(len(contents), 1), contents.repeat_interleave(len(styles), 0)  # (K * S, D) twice
    return mix(*rows, chosen, sections)
