"""Settings of the pairs of views: which pictures a pair is of, and how each view is made."""

from __future__ import annotations

from dataclasses import dataclass

from soda.settings_checks import check, not_negative, one_of, share


@dataclass(frozen=True)
class AugmentConfig:
    """How one view is made from a picture. Every probability is per picture."""

    crop_prob: float
    crop_scale_min: float  # least share of the area that a crop keeps
    flip_prob: float
    randaugment_prob: float
    randaugment_ops: int
    randaugment_magnitude: float  # 0 to 1
    noise_sigma: float  # Gaussian, in units of [-1, 1]

    def __post_init__(self) -> None:
        for key in ("crop_prob", "flip_prob", "randaugment_prob", "randaugment_magnitude"):
            share(f"views.*.{key}", getattr(self, key))
        check(0 < self.crop_scale_min <= 1, "views.*.crop_scale_min", self.crop_scale_min, "a share above 0, at most 1")
        check(0 <= self.randaugment_ops <= 8, "views.*.randaugment_ops", self.randaugment_ops, "0 to 8")
        not_negative("views.*.noise_sigma", self.noise_sigma)

    @property
    def leaves_as_is(self) -> bool:
        """Whether the view is always the picture itself."""
        augmented = self.randaugment_prob > 0 and self.randaugment_ops > 0
        return not (self.crop_prob > 0 or self.flip_prob > 0 or self.noise_sigma > 0 or augmented)


@dataclass(frozen=True)
class PairsConfig:
    """Which two pictures a pair of views is of. The defaults are those of models trained before there was a choice."""

    by: str = "picture"  # picture: two views of one | column: two that share a manifest column | file: two that a CSV file pairs
    column: str | None = None  # e.g. factor.content, label
    differ: str | None = None  # a manifest column in which the two must differ, e.g. factor.style; null: any other picture
    file: str | None = None  # columns `source` and `target`, holding ids; a row pairs them in this direction
    reconstruct: float = 0.0  # share of the pairs in which the target is the source picture: there reconstruction is trained
    # So many of the finest sections of z come from a third picture, which shares `differ` with the target and not `column`: so
    # these learn the style, and the others, of the source, the content. Not in the paper.
    style_sections: int = 0
    sources: int = 1  # at most so many source views a pair, drawn evenly from 1 up; their latents are averaged

    def __post_init__(self) -> None:
        one_of("views.pairs.by", self.by, ("picture", "column", "file"))
        for key, kind in (("column", "column"), ("differ", "column"), ("file", "file")):
            value = getattr(self, key)
            check(value is None or self.by == kind, f"views.pairs.{key}", value, f"null unless views.pairs.by={kind}")
        check(
            self.by != "column" or bool(self.column), "views.pairs.column", self.column, "a manifest column, e.g. factor.content"
        )
        check(self.by != "file" or bool(self.file), "views.pairs.file", self.file, "a CSV file with columns source and target")
        check(
            0.0 <= self.reconstruct < 1.0 and (self.by != "picture" or not self.reconstruct),
            "views.pairs.reconstruct",
            self.reconstruct,
            "a share from 0 to less than 1, and 0 where views.pairs.by=picture",
        )
        check(
            self.style_sections == 0 or (self.style_sections > 0 and self.differ is not None),
            "views.pairs.style_sections",
            self.style_sections,
            "0, or more where views.pairs.differ names the column that is style",
        )
        check(
            self.sources == 1 or (self.sources > 1 and self.by == "column" and not self.style_sections),
            "views.pairs.sources",
            self.sources,
            "1, or more where views.pairs.by=column and views.pairs.style_sections=0",
        )


@dataclass(frozen=True)
class ViewsConfig:
    """The pair of views: the encoder sees `source`, the denoiser draws `target`."""

    source: AugmentConfig
    target: AugmentConfig
    pairs: PairsConfig = PairsConfig()
    # Colours of each pair are changed by powers of 2.7^N(0, recolour), one a channel, the same in all its views. 0: as they are
    recolour: float = 0.0

    def __post_init__(self) -> None:
        check(0.0 <= self.recolour <= 2.0, "views.recolour", self.recolour, "0 to 2")

    @property
    def reconstructs(self) -> bool:
        """Whether source and target are the same view of the same picture by intent: nothing changes either of them."""
        return self.pairs.by == "picture" and self.source.leaves_as_is and self.target.leaves_as_is
