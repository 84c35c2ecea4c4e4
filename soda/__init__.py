"""SODA: self-supervised image encoders by bottleneck diffusion (Hudson et al., CVPR 2024), as software that people can use.

`from soda import SODA; model = SODA.from_pretrained("models/soda")` is the way in; importing this package alone loads nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from soda.common.errors import NotInstalledError

if TYPE_CHECKING:
    from soda.inference.soda import SODA

__version__ = "0.1.0"
__all__ = ["SODA", "__version__"]


def __getattr__(name: str) -> Any:
    if name != "SODA":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from soda.inference.soda import SODA
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("soda"):
            raise
        raise NotInstalledError(f"SODA needs {error.name}: pip install '.[train]'", name=error.name) from error
    return SODA
