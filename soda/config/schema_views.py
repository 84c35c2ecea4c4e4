"""Settings of the pairs of views: which images a pair is of, and how each view is made."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from soda.config.validated import Before, Count, CountOrZero, NotNegative, Number, Share, Whole, check, settings


@settings("views.*")
class AugmentConfig:
    """How one view is made from an image. Every probability is per image."""

    crop_prob: Share
    crop_scale_min: Annotated[Number, Field(gt=0, le=1)]  # least share of the area that a crop keeps
    flip_prob: Share
    randaugment_prob: Share
    randaugment_ops: Annotated[Whole, Field(ge=0, le=8)]
    randaugment_magnitude: Share
    noise_sigma: NotNegative  # Gaussian, in units of [-1, 1]

    @property
    def leaves_as_is(self) -> bool:
        """Whether the view is always the image itself."""
        augmented = self.randaugment_prob > 0 and self.randaugment_ops > 0
        return not (self.crop_prob > 0 or self.flip_prob > 0 or self.noise_sigma > 0 or augmented)


@settings("views.pairs")
class PairsConfig:
    """Which two images a pair of views is of."""

    # Two views of one | two images that share a manifest column | that a CSV file pairs
    by: Annotated[Literal["picture", "column", "file"], Before("picture")]
    column: Annotated[str | None, Before(None)]  # e.g. factor.content, label
    # A manifest column in which the two must differ, e.g. factor.style; null: any other image
    differ: Annotated[str | None, Before(None)]
    file: Annotated[str | None, Before(None)]  # columns `source` and `target`, holding ids; a row pairs them in this direction
    # Share of pairs whose target is the source: they train reconstruction
    reconstruct: Annotated[Number, Field(ge=0, lt=1), Before(0.0)]
    # So many of the finest sections of z come from a third image, which shares `differ` with the target and not `column`: so
    # These learn the style, and the others, of the source, the content. Not in the paper.
    style_sections: Annotated[CountOrZero, Before(0)]
    # At most so many source views a pair, drawn evenly from 1 up; their latents are averaged
    sources: Annotated[Count, Before(1)]

    @model_validator(mode="after")
    def _belongs_to_its_kind(self) -> PairsConfig:
        for key, kind in (("column", "column"), ("differ", "column"), ("file", "file")):
            value = getattr(self, key)
            check(value is None or self.by == kind, key, value, f"null unless views.pairs.by={kind}")
        check(self.by != "column" or bool(self.column), "column", self.column, "a manifest column, e.g. factor.content")
        check(self.by != "file" or bool(self.file), "file", self.file, "a CSV file with columns source and target")
        check(self.by != "picture" or not self.reconstruct, "reconstruct", self.reconstruct, "0 where views.pairs.by=picture")
        check(
            not self.style_sections or self.differ is not None,
            "style_sections",
            self.style_sections,
            "0, or more where views.pairs.differ names the column that is style",
        )
        check(
            self.sources == 1 or (self.by == "column" and not self.style_sections),
            "sources",
            self.sources,
            "1, or more where views.pairs.by=column and views.pairs.style_sections=0",
        )
        return self


@settings("views")
class ViewsConfig:
    """The pair of views: the encoder sees `source`, the denoiser draws `target`."""

    source: AugmentConfig
    target: AugmentConfig
    pairs: Annotated[PairsConfig, Before({})]
    # Colours of each pair are changed by powers of 2.7^N(0, recolour), one a channel, the same in all its views. 0: as they are
    recolour: Annotated[Number, Field(ge=0, le=2), Before(0.0)]

    @property
    def reconstructs(self) -> bool:
        """Whether source and target are the same view of the same image by intent: nothing changes either of them."""
        return self.pairs.by == "picture" and self.source.leaves_as_is and self.target.leaves_as_is
