"""An HTML contact sheet: one file that opens offline, with the pictures inside as small JPEGs."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from PIL import Image

from soda.common.files import whole_file
from soda.runtime import PictureError
from soda.runtime.names import printable
from soda.runtime.preprocess import MAX_PIXELS, load_picture

SIDE = 160
"""px: the longest side of a thumbnail. Smaller pictures are enlarged by whole factors, so that their pixels stay sharp."""

MOST = 600
"""Thumbnails on a sheet; of more, the sheet says how many are left out."""

_STYLE = """
:root { color-scheme: light dark; --line: #8883; --soft: #888; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 0 auto; padding: 1.5rem; max-width: 90rem; }
h1 { font-size: 1.4rem; margin: 0 0 .25rem; } h2 { font-size: 1rem; margin: 2rem 0 .5rem; }
p { color: var(--soft); margin: 0 0 1rem; }
.row { display: grid; grid-template-columns: repeat(auto-fill, minmax(9.5rem, 1fr)); gap: .75rem; }
figure { margin: 0; border: 1px solid var(--line); border-radius: .5rem; overflow: hidden; }
figure.lead { outline: 2px solid #3b82f6; }
.box { height: 9.5rem; display: grid; place-items: center; background: #8881; }
img { max-width: 100%; max-height: 9.5rem; } img.small { image-rendering: pixelated; }
figcaption { padding: .4rem .6rem; font-size: .8rem; overflow-wrap: anywhere; } figcaption b { display: block; }
a { color: inherit; }
"""


@dataclass(frozen=True)
class Shown:
    """A picture on a sheet. name: what is written below it; note: what was found about it, e.g. "0.98"; lead: what was asked
    for."""

    path: Path
    name: str
    note: str = ""
    lead: bool = False


@dataclass(frozen=True)
class Section:
    """Pictures under one heading; `more` are not shown."""

    heading: str
    pictures: Sequence[Shown] = field(default_factory=tuple)
    more: int = 0


def write_sheet(path: Path, title: str, about: str, sections: Sequence[Section], *, max_pixels: int = MAX_PIXELS) -> int:
    """Write the sheet, whole or not at all; returns how many pictures are on it (MOST at the most).

    A picture that can no longer be read is named, with the reason, in its place.
    """
    room, shown, parts = MOST, 0, []
    for number, section in enumerate(sections):
        if room <= 0:
            parts.append(f"<p>{len(sections) - number:,} more groups are not shown.</p>")
            break
        pictures = section.pictures[:room]
        left = len(section.pictures) - len(pictures) + section.more
        room, shown = room - len(pictures), shown + len(pictures)
        parts.append(f"<section><h2>{_text(section.heading)}</h2>" if section.heading else "<section>")
        parts.append('<div class="row">' + "".join(_figure(each, max_pixels) for each in pictures) + "</div>")
        parts.append((f"<p>and {left:,} more</p>" if left else "") + "</section>")
    page = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">"
        f"<title>{_text(title)}</title><style>{_STYLE}</style></head><body><h1>{_text(title)}</h1><p>{_text(about)}</p>"
        + "\n".join(parts)
        + "</body></html>\n"
    )
    with whole_file(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return shown


def _figure(shown: Shown, max_pixels: int) -> str:
    note = f"<b>{_text(shown.note)}</b>" if shown.note else ""
    name, lead = _text(shown.name), ' class="lead"' if shown.lead else ""
    try:
        picture = _thumbnail(shown.path, max_pixels)
    except PictureError as error:
        return f'<figure{lead}><div class="box">{_text(str(error))}</div><figcaption>{note}{name}</figcaption></figure>'
    link = "file://" + quote(str(shown.path.absolute()).encode("utf-8", "surrogateescape"))
    return f'<figure{lead}><div class="box">{picture}</div><figcaption>{note}<a href="{link}">{name}</a></figcaption></figure>'


def _thumbnail(path: Path, max_pixels: int) -> str:
    image = load_picture(path, max_pixels=max_pixels)
    factor = SIDE // max(image.size)
    if factor > 1:
        image = image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)
    image.thumbnail((SIDE, SIDE))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<img alt=""{" class=small" if factor > 1 else ""} src="data:image/jpeg;base64,{data}">'


def _text(value: str) -> str:
    return html.escape(printable(value))
