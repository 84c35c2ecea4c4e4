"""The report stage: the stages' metrics as one file, and one page that opens offline and shows what the pipeline made.

The page holds everything inside (its Content-Security-Policy forbids any request), and the same inputs give the same bytes.
"""

from __future__ import annotations

import logging
from pathlib import Path

from soda.common.files import whole_file, write_json
from soda.config import Config
from soda.report.contact_sheet import contact_sheet
from soda.report.data import read_data, read_judged
from soda.report.encoder_facts import read_encoder
from soda.report.parts import Metrics, ReportError, merge_parts
from soda.report.render import render

__all__ = ["ReportError", "report"]

log = logging.getLogger(__name__)


def report(
    config: Config,
    prepared: Path,
    verdict: Path,
    live: Path,
    parts: list[Path],
    figures: Path,
    encoder: Path,
    html: Path,
    metrics: Path,
) -> Metrics:
    """Merge the stages' metrics into `metrics` (JSON) and write the page to `html`; both only when both could be made.

    prepared: the prepared data's folder. verdict: the gate's JSON. live: DVCLive's folder. parts: metrics of the stages.
    figures: folder of PNGs and GIFs. encoder: the ONNX file. What is missing is said on the page in a plain sentence.

    Returns the merged metrics. Raises ReportError naming the file and key of an input that is there but broken, or of two parts
    that disagree; earlier outputs then stay as they were.
    """
    merged = merge_parts(parts)
    data = read_data(prepared)
    judged = read_judged(verdict, data)
    page = render(config, merged, data, judged, read_encoder(encoder), live, figures, contact_sheet(prepared))
    with whole_file(html) as temporary:
        # File names on disk need not be valid Unicode; the page must be.
        temporary.write_bytes(page.encode("utf-8", "replace"))
    write_json(metrics, merged.metrics)
    if judged is not None and not judged["success"]:
        log.warning("%s: the data failed the gate; the page says so in red", html)
    return merged.metrics
