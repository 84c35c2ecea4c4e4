"""Neighbours in latent space, to be looked at."""

from __future__ import annotations

from soda.evaluation.registry import Figure, Measure

MEASURE = Measure(
    key="nearest",
    title="Neighbours",
    place=42,
    figures=(
        Figure(
            "neighbours",
            "Neighbours in latent space",
            "Each row begins with a test picture; the pictures after it are those whose latents lie nearest to its own. "
            "Where there are labels, a frame marks a neighbour of another label.",
        ),
    ),
)
