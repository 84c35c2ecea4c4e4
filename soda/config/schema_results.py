"""Settings of what is made of a trained model: its evaluation and its export."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from soda.config.validated import Before, Count, CountOrZero, Flag, NotNegative, Positive, Seed, Whole, settings

AtLeastTwo = Annotated[Whole, Field(ge=2)]


@settings("evaluate")
class EvaluateConfig:
    """Protocol of the evaluation. Choices (regularisation, k) are made on validation, reported on test."""

    probe_l2: Annotated[tuple[NotNegative, ...], Field(min_length=1)]  # candidates
    knn_k: Annotated[tuple[Count, ...], Field(min_length=1)]  # candidates
    reconstructions: Count  # test images for PSNR and SSIM
    fid_images: Count  # test images for the FID-like measure
    supervised: Flag  # train the supervised network of the same encoder for comparison
    untrained_draws: Annotated[Count, Before(1)]  # of the untrained encoder's weights, that it is judged by
    curve_images: AtLeastTwo  # test images of the curves against the number of denoiser evaluations, and of the interpolations
    exact_images: Count  # test images that are inverted and drawn again
    max_factors: Count  # known factors that are measured, the commonest first
    reader_images: Count  # training images, with repeats, of the classifier that reads factors off drawn images
    mix_pairs: Count  # pairs of test images that are mixed
    attribute_images: AtLeastTwo  # validation images moved along every direction, and test images along the best
    dci_images: AtLeastTwo  # training images, and at most as many test images, of DCI, modularity and explicitness
    vae_share: NotNegative  # computation of the beta-VAE's training over that of the model; 0: no beta-VAE
    vae_beta: NotNegative
    style_factor: str | None  # what a mix takes from A; null: found in the data
    content_factor: str | None  # what it takes from B; null: a factor whose test values no training image has, if any
    seed: Seed
    batch_size: Count
    view_targets: Annotated[Count, Before(4)]  # of a model with cameras: views of each held-out object that are drawn
    view_samples: Annotated[Count, Before(8)]  # of each, for the expected view
    # Of a model with cameras: training images, at most as many as it saw, of a network that draws views in one step; 0: none
    view_regressor_images: Annotated[CountOrZero, Before(0)]
    inception_weights: Annotated[str | None, Before(None)]  # a file of Inception v3's weights, for FID; null: no FID
    lpips_weights: Annotated[str | None, Before(None)]  # a file of AlexNet's or VGG-16's, for LPIPS; null: no LPIPS
    lpips_linear: Annotated[str | None, Before(None)]  # a file of LPIPS's linear layers; null: those of torchmetrics


@settings("export")
class ExportConfig:
    """ONNX export of encoder and denoiser, the parity that they must keep, and the smaller encoders."""

    opset: Annotated[Whole, Field(ge=18, le=23)]
    parity_images: Count
    max_abs_diff: Positive  # greatest difference of any component of z from torch, z being standardised
    decoder_images: Annotated[Count, Before(64)]  # drawn by torch and by the runtime, and compared
    decoder_max_abs_diff: Annotated[Positive, Before(0.001)]  # of any pixel, in [-1, 1]
    int8: Annotated[Flag, Before(True)]  # look for an 8-bit encoder
    # Of the probe on validation, 1 being all; one that loses more is not written
    int8_max_drop: Annotated[NotNegative, Before(0.005)]
    calibration_images: Annotated[Count, Before(512)]
    probe_images: Annotated[Count, Before(20000)]  # labels of the train split that judge the 8-bit encoders
    fp16: Annotated[Flag, Before(False)]
    features: Annotated[Flag, Before(False)]  # encoder.onnx also gives what its last layer makes z of
