"""What is compared with what: the studies, their arms, and the claims that each decides."""

from __future__ import annotations

from dataclasses import dataclass, field

MAIN_SEEDS, OTHER_SEEDS = 6, 3


@dataclass(frozen=True)
class Arm:
    """A setting of a study. changes: Hydra overrides on top of the study's; longer: times the images of the others."""

    title: str
    changes: tuple[str, ...] = ()
    seeds: int = OTHER_SEEDS
    longer: int = 1


@dataclass(frozen=True)
class Study:
    """Data, base settings and arms. Each arm differs from `base` in what it names alone."""

    title: str
    overrides: tuple[str, ...]
    arms: dict[str, Arm] = field(default_factory=dict)


# Half as wide as the default, so that all runs fit in an evening on two cores; what an arm changes does not depend on the width.
_SMALL = ("model.channels=16", "model.encoder_width=16", "train.usage_check_images=0", "train.batch_size=64")
_PAPER_MASKS = ("model.latent_dim=128", "model.section_drop=0.1", "model.latent_drop=0.1")
_ITSELF = ("views.pairs.by=picture", "views.pairs.column=null", "views.pairs.reconstruct=0", "views.pairs.sources=1")

STUDIES = {
    "main": Study(
        "drawn avatars, one view",
        ("dataset=avatars", "views=plain", "diffusion=quick", *_PAPER_MASKS, *_SMALL),
        {
            "base": Arm("base: modulation and masks on, cosine schedule, z of 128, nothing augmented", (), MAIN_SEEDS),
            "modulation_off": Arm("no layer modulation", ("model.layer_modulation=false",), MAIN_SEEDS),
            "masking_off": Arm("no layer masking", ("model.section_drop=0",), MAIN_SEEDS),
            "inverted": Arm("inverted schedule", ("diffusion.schedule=inverted",), MAIN_SEEDS),
            "source_crop": Arm(
                "source mildly cropped", ("views.source.crop_prob=0.95", "views.source.crop_scale_min=0.6"), MAIN_SEEDS
            ),
            "paper": Arm(
                "the paper's letter: noise prediction, inverted schedule, both views augmented, three times as long",
                ("diffusion.prediction=eps", "diffusion.schedule=inverted", "views=paper"),
                longer=3,
            ),
            "latent_16": Arm("z of 16", ("model.latent_dim=16",)),
            "latent_64": Arm("z of 64", ("model.latent_dim=64",)),
            "latent_512": Arm("z of 512", ("model.latent_dim=512",)),
        },
    ),
    "objects": Study(
        "random objects seen by cameras",
        ("experiment=random_objects", *_PAPER_MASKS, *_SMALL),
        {
            "base": Arm("novel views: the target is another view of the object", ("views.pairs.reconstruct=0",), MAIN_SEEDS),
            "reconstruct": Arm("plain reconstruction: the target is the source", _ITSELF, MAIN_SEEDS),
        },
    ),
    "furniture": Study(
        "furniture seen by cameras",
        ("dataset=furniture", "views=object", "model=posed", "diffusion=views", *_PAPER_MASKS, *_SMALL),
        {
            "base": Arm("novel views: the target is another view of the object", ("views.pairs.reconstruct=0",)),
            "reconstruct": Arm("plain reconstruction: the target is the source", _ITSELF),
        },
    ),
}


@dataclass(frozen=True)
class Claim:
    """`better` should have more of `metric` than `worse`, both arms of `study`."""

    name: str
    text: str
    study: str
    better: str
    worse: str
    metric: str
    would_change: str


_MORE_IMAGES = "a crossing of the two curves in longer training"
CLAIMS = (
    Claim("modulation_probe", "Layer modulation makes z tell more of the label (paper)", "main", "base", "modulation_off",
          "probe", "a deeper U-Net, whose levels differ more in what they draw"),
    Claim("modulation_factors", "Layer modulation makes z tell more of the factors (paper)", "main", "base", "modulation_off",
          "factor_probe", "a deeper U-Net, whose levels differ more in what they draw"),
    Claim("modulation_dci", "Layer modulation disentangles (paper)", "main", "base", "modulation_off", "dci_d",
          "factors that live at one scale each, as colours and outlines of natural images do"),
    Claim("masking_probe", "Layer masking makes z tell more of the label (paper)", "main", "base", "masking_off", "probe",
          "another rate of masking: the paper does not state its own"),
    Claim("masking_dci", "Layer masking disentangles (paper)", "main", "base", "masking_off", "dci_d",
          "another rate of masking: the paper does not state its own"),
    Claim("masking_sections", "Layer masking makes sections differ in what they know (paper)", "main", "base", "masking_off",
          "section_spread", "another rate of masking: the paper does not state its own"),
    Claim("inverted_probe", "The inverted schedule teaches the encoder more than cosine (paper)", "main", "inverted", "base",
          "probe", "noise prediction, which weighs the schedule's middle otherwise than v-prediction"),
    Claim("crop_probe", "Augmenting the source makes z tell more (paper)", "main", "source_crop", "base", "probe",
          "photographs, whose objects lie anywhere; drawn ones lie in the middle"),
    Claim("compact_512", "A compact z is better than a large one: 128 against 512 (paper)", "main", "base", "latent_512", "probe",
          _MORE_IMAGES),
    Claim("compact_16", "A z of 128 tells more than one of 16", "main", "base", "latent_16", "probe", _MORE_IMAGES),
    Claim("compact_64", "A z of 128 tells more than one of 64", "main", "base", "latent_64", "probe", _MORE_IMAGES),
    Claim("paper_probe", "The paper's letter, three times as long, beats the base", "main", "paper", "base", "probe",
          "the paper's length: hundreds of epochs"),
    Claim("views_objects", "Novel views teach more of an object's shape than reconstruction (paper)", "objects", "base",
          "reconstruct", "probe", _MORE_IMAGES),
    Claim("views_furniture", "Novel views teach more of furniture's category than reconstruction (paper)", "furniture", "base",
          "reconstruct", "probe", _MORE_IMAGES),
)  # fmt: skip
