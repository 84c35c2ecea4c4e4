"""Figures of the export stage (reports/export.json)."""

from __future__ import annotations

from soda.evaluation.registry import Measure, Quantity, Row, Table

_PROBE, _SIGMA = "{:.2%}", "standard deviations"
_COLUMNS = ("bytes", "max_abs_diff", "mean_cosine", "ms_64")  # of the table


def _of_variant(name: str, title: str) -> tuple[Quantity, ...]:
    """What is measured of a smaller encoder."""
    return (
        Quantity(f"{name}_bytes", f"Bytes of the {title} encoder", better="lower"),
        Quantity(f"{name}_mean_cosine", f"Mean cosine of the {title} encoder with torch", better="higher"),
        Quantity(f"{name}_min_cosine", f"Least cosine of the {title} encoder with torch", better="higher"),
        Quantity(f"{name}_features_mean_cosine", f"Mean cosine of the {title} encoder's features with torch", better="higher"),
        Quantity(f"{name}_features_min_cosine", f"Least cosine of the {title} encoder's features with torch", better="higher"),
        Quantity(f"{name}_max_abs_diff", f"Greatest difference of the {title} encoder from torch, {_SIGMA}", better="lower"),
        Quantity(f"{name}_ms_64", f"Milliseconds for 64 images, {title}", better="lower"),
        Quantity(f"{name}_probe_val_top1", f"Linear probe on validation, {title}", _PROBE, "higher"),
        Quantity(f"{name}_probe_val_drop", f"What the probe loses on validation, {title}", _PROBE, "lower"),
    )


MEASURE = Measure(
    key="export",
    title="Exported files",
    place=200,
    quantities=(
        Quantity("parity_images", "Images on which encoder.onnx is compared with torch"),
        Quantity("max_abs_diff", "Greatest difference of encoder.onnx from torch, standard deviations", better="lower"),
        Quantity("mean_cosine", "Mean cosine of encoder.onnx with torch", better="higher"),
        Quantity("min_cosine", "Least cosine of encoder.onnx with torch", better="higher"),
        Quantity("features_max_abs_diff", f"Greatest difference of its features from torch, {_SIGMA}", better="lower"),
        Quantity("features_mean_cosine", "Mean cosine of its features with torch", better="higher"),
        Quantity("features_min_cosine", "Least cosine of its features with torch", better="higher"),
        Quantity("search_by_labels", "Is search judged by labels (else by altered copies)"),
        Quantity("search_z", "Validation images that z finds", _PROBE, "higher"),
        Quantity("search_features", "Validation images that features find", _PROBE, "higher"),
        Quantity("bytes", "Bytes of encoder.onnx", better="lower"),
        Quantity("denoiser_bytes", "Bytes of denoiser.onnx", better="lower"),
        Quantity("opset", "ONNX opset"),
        Quantity("torch_ms_*", "Milliseconds for {} images, torch", better="lower"),
        Quantity("onnx_ms_*", "Milliseconds for {} images, encoder.onnx", better="lower"),
        Quantity("decoder_images", "Images on which denoiser.onnx is compared with torch"),
        Quantity("decoder_max_abs_diff", "Greatest difference of what denoiser.onnx draws from torch", better="lower"),
        Quantity("decoder_mean_abs_diff", "Mean difference of what denoiser.onnx draws from torch", better="lower"),
        Quantity("int8_written", "Is there an 8-bit encoder"),
        *_of_variant("int8", "8-bit"),
        *_of_variant("fp16", "16-bit"),
    ),
    tables=(
        Table(
            "Exported files",
            ("File", "Bytes", "Greatest difference from torch", "Mean cosine with torch", "ms for 64 images"),
            (
                Row("encoder.onnx", ("bytes", "max_abs_diff", "mean_cosine", "onnx_ms_64"), ours=True),
                *(Row(f"encoder.{kind}.onnx", tuple(f"{kind}_{key}" for key in _COLUMNS)) for kind in ("int8", "fp16")),
                Row("denoiser.onnx", ("denoiser_bytes", "decoder_max_abs_diff", "", "")),
                Row("the encoder in torch", ("", "", "", "torch_ms_64")),
            ),
        ),
    ),
    card=(
        "encoder.onnx: {bytes:,} bytes, within {max_abs_diff:.1e} standard deviations of torch",
        "denoiser.onnx: {denoiser_bytes:,} bytes; draws within {decoder_max_abs_diff:.1e} of torch (pixels are -1 to 1)",
    ),
)
