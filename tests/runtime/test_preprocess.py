"""Any picture file becomes the RGB that a person sees, or one clear reason why not."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from soda.runtime import memory
from soda.runtime.items import square_pixels
from soda.runtime.picture_file import SEVERAL, open_picture
from soda.runtime.pillows_limit import allowing
from soda.runtime.preprocess import PictureError, load_picture, to_rgb, to_square
from tests.support.samples import bomb_png

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::PIL.Image.DecompressionBombWarning")

RED, GREEN, BLUE, WHITE, BLACK = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0)


def quarters() -> Image.Image:
    """24 x 16 px: red, green over blue, white quarters, so that every turn and flip of it differs."""
    image = Image.new("RGB", (24, 16), WHITE)
    for colour, box in ((RED, (0, 0, 12, 8)), (GREEN, (12, 0, 24, 8)), (BLUE, (0, 8, 12, 16))):
        image.paste(colour, box)
    return image


def corners(image: Image.Image) -> list[tuple[int, int, int]]:
    """Colours near the four corners, each channel rounded to black or full: top left, top right, bottom left, bottom right."""
    width, height = image.size
    points = [(2, 2), (width - 3, 2), (2, height - 3), (width - 3, height - 3)]
    pixels = np.asarray(image)
    return [tuple(int(v > 127) * 255 for v in pixels[y, x]) for x, y in points]  # type: ignore[misc]


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("a.png", {}),
        ("a.jpg", {"quality": 95}),
        ("a.webp", {"lossless": True}),
        ("a.tif", {}),
        ("a.bmp", {}),
        ("a.gif", {}),
        ("a.ppm", {}),
        ("wrong ending.png", {"format": "JPEG", "quality": 95}),
    ],
)
def test_every_format_shows_the_same_picture(tmp_path: Path, name: str, settings: dict[str, object]) -> None:
    quarters().save(tmp_path / name, **settings)  # type: ignore[arg-type]
    image = load_picture(tmp_path / name)
    assert image.mode == "RGB"
    assert image.size == (24, 16)
    assert corners(image) == [RED, GREEN, BLUE, WHITE]


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.tif"])
@pytest.mark.parametrize(
    ("orientation", "seen"),
    [
        (1, [RED, GREEN, BLUE, WHITE]),
        (2, [GREEN, RED, WHITE, BLUE]),
        (3, [WHITE, BLUE, GREEN, RED]),
        (4, [BLUE, WHITE, RED, GREEN]),
        (5, [RED, BLUE, GREEN, WHITE]),
        (6, [BLUE, RED, WHITE, GREEN]),
        (7, [WHITE, GREEN, BLUE, RED]),
        (8, [GREEN, WHITE, RED, BLUE]),
    ],
)
def test_exif_orientation_is_applied_once(tmp_path: Path, name: str, orientation: int, seen: list[tuple[int, int, int]]) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    quarters().save(tmp_path / name, exif=exif)
    image = load_picture(tmp_path / name)
    assert corners(image) == seen
    assert image.size == ((24, 16) if orientation < 5 else (16, 24))
    assert corners(to_rgb(image)) == seen


def test_damaged_exif_does_not_cost_the_picture(tmp_path: Path) -> None:
    quarters().save(tmp_path / "a.jpg", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff broken")
    assert corners(load_picture(tmp_path / "a.jpg")) == [RED, GREEN, BLUE, WHITE]


def grey_ramp(dtype: str, top: float) -> np.ndarray:
    return np.broadcast_to(np.linspace(0, top, 16), (16, 16)).astype(dtype)


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("16-bit.png", grey_ramp("uint16", 65535)),
        ("16-bit.tif", grey_ramp("uint16", 65535)),
        ("16-bit big-endian.tif", grey_ramp(">u2", 65535)),
        ("32-bit.tif", grey_ramp("int32", 65535)),
        ("32-bit of 8-bit values.tif", grey_ramp("int32", 255)),
        ("32-bit wide.tif", grey_ramp("int32", 2_000_000_000)),
        ("float to 1.tif", grey_ramp("float32", 1)),
        ("float to 255.tif", grey_ramp("float32", 255)),
        ("float wide.tif", grey_ramp("float32", 1e6) - np.float32(5e5)),
    ],
)
def test_wide_grey_values_are_scaled_not_clipped(tmp_path: Path, name: str, array: np.ndarray) -> None:
    Image.fromarray(array).save(tmp_path / name)
    row = np.asarray(load_picture(tmp_path / name))[0].astype(int)
    assert np.abs(row - np.linspace(0, 255, 16)[:, None]).max() <= 1


@pytest.mark.parametrize("top", [1, 100, 255, 256, 4095, 65534, 65535])
@pytest.mark.parametrize("brightest", [1.0, 0.003])
@pytest.mark.parametrize("letter", ["P2", "P5"])
def test_a_pgm_is_as_bright_as_its_header_says(top: int, brightest: float, letter: str) -> None:
    """However dark it is: its brightest value is not taken for white."""
    values = np.round(grey_ramp("float64", top * brightest)).astype(int)
    body = (
        values.astype(">u2" if top > 255 else "u1").tobytes() if letter == "P5" else " ".join(map(str, values.ravel())).encode()
    )
    content = f"{letter} 16 16 {top}\n".encode() + body
    shown = np.asarray(load_picture(io.BytesIO(content), name="a.pgm")).astype(int)
    assert np.abs(shown - values[:, :, None] / top * 255).max() <= 1
    if top > 255:
        with Image.open(io.BytesIO(content)) as opened:  # by whoever gives us the image
            np.testing.assert_array_equal(np.asarray(to_rgb(opened)), shown)


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.jp2", "a.pgm"])
def test_a_dark_picture_of_16_bits_stays_dark(tmp_path: Path, name: str) -> None:
    Image.fromarray(grey_ramp("uint16", 255)).save(tmp_path / name)
    assert np.asarray(load_picture(tmp_path / name)).max() == 1


def test_float_values_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    array = grey_ramp("float32", 1).copy()
    array[3, 3] = np.nan
    Image.fromarray(array).save(tmp_path / "nan.tif")
    with pytest.raises(PictureError, match=r"nan\.tif: .*not finite"):
        load_picture(tmp_path / "nan.tif")


def test_modes_of_one_and_eight_bits(tmp_path: Path) -> None:
    image = Image.new("L", (16, 16), 0)
    image.paste(255, (8, 0, 16, 16))
    for mode, name in (("1", "a.png"), ("L", "b.png"), ("P", "c.png"), ("1", "d.tif"), ("L", "e.jpg"), ("P", "f.gif")):
        image.convert(mode).save(tmp_path / name)
        assert corners(load_picture(tmp_path / name)) == [BLACK, WHITE, BLACK, WHITE], (mode, name)


@pytest.mark.parametrize("kind", ["RGBA", "LA", "PA-like palette", "RGB with a transparent colour", "P with an index", "La"])
def test_transparency_shows_white(tmp_path: Path, kind: str) -> None:
    left = (0, 0, 8, 16)
    if kind in ("LA", "La"):
        image = Image.new("LA", (16, 16), (0, 255))
        image.paste((0, 0), left)
        if kind == "La":
            assert corners(to_rgb(image.convert("La"))) == [WHITE, BLACK, WHITE, BLACK]
            return
        image.save(tmp_path / "a.png")
    elif kind == "RGB with a transparent colour":
        image = Image.new("RGB", (16, 16), BLACK)
        image.paste(GREEN, left)
        image.save(tmp_path / "a.png", transparency=GREEN)
    elif kind == "P with an index":
        image = Image.new("P", (16, 16), 1)
        image.putpalette([0, 255, 0, 0, 0, 0])
        image.paste(0, left)
        image.save(tmp_path / "a.png", transparency=0)
    else:
        image = Image.new("RGBA", (16, 16), (0, 0, 0, 255))
        image.paste((0, 0, 0, 0), left)
        if kind != "RGBA":
            image = image.quantize(4)
        image.save(tmp_path / "a.png")
    assert corners(load_picture(tmp_path / "a.png")) == [WHITE, BLACK, WHITE, BLACK]


def test_half_transparent_is_half_white() -> None:
    pixel = np.asarray(to_rgb(Image.new("RGBA", (4, 4), (255, 0, 0, 128))))[0, 0]
    assert np.abs(pixel.astype(int) - (255, 127, 127)).max() <= 1


@pytest.mark.parametrize("name", ["adobe, inverted.jpg", "plain.tif"])
def test_cmyk(tmp_path: Path, name: str) -> None:
    quarters().convert("CMYK").save(tmp_path / name, **({"quality": 95} if name.endswith("jpg") else {}))
    if name.endswith("jpg"):
        assert b"Adobe" in (tmp_path / name).read_bytes()[:400]
    assert corners(load_picture(tmp_path / name)) == [RED, GREEN, BLUE, WHITE]


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.tif", "a.png"])
def test_the_first_of_several_frames_is_taken(tmp_path: Path, name: str) -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in (RED, GREEN, BLUE)]
    frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
    assert corners(load_picture(tmp_path / name)) == [RED] * 4
    assert SEVERAL in open_picture(tmp_path / name).info
    frames[0].save(tmp_path / f"single-{name}")
    assert SEVERAL not in open_picture(tmp_path / f"single-{name}").info


def test_the_previews_beside_a_photograph_are_no_frames_of_it(tmp_path: Path) -> None:
    quarters().save(tmp_path / "a.mpo", save_all=True, append_images=[Image.new("RGB", (8, 8))])
    image = open_picture(tmp_path / "a.mpo")
    assert image.format == "MPO" and SEVERAL not in image.info


def test_a_large_picture_is_decoded_only_where_memory_has_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "large.png").write_bytes(bomb_png(16_000, 10_000))
    monkeypatch.setattr(memory, "available_memory", lambda: 1_439_999_999)
    with pytest.raises(
        PictureError, match=r"large\.png: 16000 x 10000 px takes up to 1\.4 GB of memory to decode, and 1\.4 GB are free"
    ):
        load_picture(tmp_path / "large.png")
    reached: list[int] = []
    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", lambda self: reached.append(self.width))
    for left in (1_440_000_000, None):  # enough, or a system that does not say
        monkeypatch.setattr(memory, "available_memory", lambda left=left: left)
        open_picture(tmp_path / "large.png")
    assert reached == [16_000] * 2
    quarters().save(tmp_path / "small.png")
    monkeypatch.setattr(memory, "available_memory", lambda: 0)
    assert open_picture(tmp_path / "small.png").size == (24, 16)


def test_memory_is_that_of_the_container_where_it_has_less(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_CONTAINER", tmp_path)
    machine = memory.available_memory()
    (tmp_path / "memory.max").write_text("3000000\n")
    (tmp_path / "memory.current").write_text("1000000\n")
    assert memory.available_memory() == 2_000_000
    (tmp_path / "memory.max").write_text("max\n")
    assert machine is None or memory.available_memory() == pytest.approx(machine, rel=0.5)


@pytest.mark.parametrize("side", [14_143, 20_000])
def test_a_bomb_is_refused_before_it_is_decoded(tmp_path: Path, side: int, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bomb.png").write_bytes(bomb_png(side, side))
    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", lambda self: pytest.fail("the bomb was decoded"))
    with pytest.raises(PictureError, match=r"bomb\.png: .* more than the limit of 200,000,000 pixels"):
        load_picture(tmp_path / "bomb.png")


def test_size_limits_name_the_size(tmp_path: Path) -> None:
    Image.new("RGB", (1, 1)).save(tmp_path / "dot.png")
    with pytest.raises(PictureError, match=r"dot\.png: 1 x 1 px is less than the limit of 8 px a side"):
        load_picture(tmp_path / "dot.png", min_side=8)
    Image.new("RGB", (30, 20)).save(tmp_path / "big.png")
    with pytest.raises(PictureError, match=r"big\.png: 30 x 20 px is more than the limit of 599 pixels"):
        load_picture(tmp_path / "big.png", max_pixels=599)
    assert load_picture(tmp_path / "big.png", max_pixels=600).size == (30, 20)


@pytest.mark.filterwarnings("error::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("limit", [50, 200])  # far below the pictures' size, which Pillow calls an error, and below, a warning
@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.tif", "a.bmp", "a.gif", "a.ppm", "a.jp2"])
def test_the_limit_is_the_callers_and_not_pillows(tmp_path: Path, name: str, limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    quarters().resize((24, 17)).save(tmp_path / name)
    wanted = square_pixels("", tmp_path / name, size=8, resize="crop")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    found = square_pixels("", tmp_path / name, size=8, resize="crop", max_pixels=24 * 17)
    np.testing.assert_array_equal(found, wanted)
    if name != "a.jpg":
        with pytest.raises(PictureError, match=r"(24 x 17 px|408 pixels) is more than the limit of 407 pixels"):
            load_picture(tmp_path / name, max_pixels=24 * 17 - 1)
    assert limit == Image.MAX_IMAGE_PIXELS


def test_pillows_limit_comes_back_when_the_last_thread_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    first, second = allowing(500), allowing(300)
    with allowing(100):
        assert Image.MAX_IMAGE_PIXELS == 100
        first.__enter__()
        second.__enter__()
        assert Image.MAX_IMAGE_PIXELS == 500
    first.__exit__(None, None, None)
    assert Image.MAX_IMAGE_PIXELS == 300
    second.__exit__(None, None, None)
    assert Image.MAX_IMAGE_PIXELS == 100


def test_a_large_jpeg_is_decoded_small_and_a_larger_one_refused(tmp_path: Path) -> None:
    picture = quarters().resize((240, 160), Image.Resampling.NEAREST)
    exif = Image.Exif()
    exif[0x0112] = 6
    for mode, name in (("RGB", "a.jpg"), ("CMYK", "c.jpg"), ("L", "l.jpg")):
        picture.convert(mode).save(tmp_path / name, quality=95, exif=exif)
        small = load_picture(tmp_path / name, max_pixels=240 * 160 // 4)
        assert small.size == (80, 120)  # half, and turned
        whole = load_picture(tmp_path / name, max_pixels=240 * 160)
        assert whole.size == (160, 240) and corners(small) == corners(whole)
        for settings in ({"max_pixels": 240 * 160 // 4 - 1}, {"max_pixels": 240 * 160 - 1, "shrink": False}):
            with pytest.raises(PictureError, match=r"240 x 160 px is more than the limit of [\d,]+ pixels"):
                load_picture(tmp_path / name, **settings)  # type: ignore[arg-type]


def test_ordinary_pictures_are_what_pillow_makes_of_them(tmp_path: Path) -> None:
    """Bit by bit: what is done about odd files must not change the vectors of others."""
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (41, 57, 3), dtype=np.uint8))
    for name in ("a.png", "a.jpg", "a.webp", "a.gif", "a.tif", "a.bmp", "a.ppm", "a.jp2"):
        for mode in ("RGB", "L"):
            noise.convert(mode).save(tmp_path / name)
            with Image.open(tmp_path / name) as image:
                np.testing.assert_array_equal(np.asarray(load_picture(tmp_path / name)), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("ending", ["jpg", "png", "webp", "tif", "gif", "bmp"])
def test_truncated_files_are_refused(tmp_path: Path, ending: str) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    buffer = io.BytesIO()
    noise.save(buffer, format={"jpg": "JPEG", "tif": "TIFF"}.get(ending, ending.upper()))
    path = tmp_path / f"cut.{ending}"
    path.write_bytes(buffer.getvalue()[: len(buffer.getvalue()) // 2])
    with pytest.raises(PictureError, match=rf"cut\.{ending}: .+"):
        load_picture(path)


def test_every_prefix_of_a_file_is_a_picture_or_a_picture_error(tmp_path: Path) -> None:
    for ending, format in (("jpg", "JPEG"), ("png", "PNG"), ("gif", "GIF"), ("tif", "TIFF"), ("webp", "WEBP")):
        buffer = io.BytesIO()
        quarters().save(buffer, format=format)
        whole = buffer.getvalue()
        for length in range(0, len(whole), max(1, len(whole) // 60)):
            try:
                load_picture(io.BytesIO(whole[:length]), name=f"cut.{ending}")
            except PictureError as error:
                assert str(error).startswith(f"cut.{ending}: ")


@pytest.mark.parametrize("name", ["text.jpg", "none.png", "folder.png"])
def test_what_is_no_picture_names_file_and_reason(tmp_path: Path, name: str) -> None:
    (tmp_path / "text.jpg").write_text("hello")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(PictureError, match=rf"{name}: (not a picture|no such file|is a directory)"):
        load_picture(tmp_path / name)


def test_formats_that_run_programs_are_not_opened(tmp_path: Path) -> None:
    (tmp_path / "script.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n")
    with pytest.raises(PictureError, match="not a picture of a format"):
        load_picture(tmp_path / "script.png")


def test_crop_keeps_the_centre_and_stretch_keeps_everything() -> None:
    wide = Image.new("RGB", (30, 10), RED)
    wide.paste(BLUE, (10, 0, 20, 10))
    assert (to_square(wide, 10) == BLUE).all()
    stretched = to_square(wide, 12, resize="stretch")
    assert stretched.shape == (12, 12, 3)
    assert tuple(stretched[5, 0]) == RED
    assert tuple(stretched[5, 6]) == BLUE
    assert tuple(stretched[5, 11]) == RED


def test_shrinking_is_antialiased() -> None:
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    assert np.abs(to_square(Image.fromarray(stripes), 8).astype(int) - 127).max() <= 8  # the edges see half a period


def test_luma_of_grey_is_exact_and_of_colour_is_bt601() -> None:
    grey = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16)).convert("RGB")
    assert (to_square(grey, 16, channels=1)[..., 0] == np.arange(256).reshape(16, 16)).all()
    for colour, luma in ((RED, 76), (GREEN, 150), (BLUE, 29)):
        assert to_square(Image.new("RGB", (8, 8), colour), 8, channels=1)[0, 0, 0] == luma


def test_to_square_refuses_wrong_settings() -> None:
    with pytest.raises(ValueError, match="mode 'RGB', not 'L'"):
        to_square(Image.new("L", (8, 8)), 8)
    with pytest.raises(ValueError, match="resize: 'pad'"):
        to_square(Image.new("RGB", (8, 8)), 8, resize="pad")
    with pytest.raises(ValueError, match="channels: 4"):
        to_square(Image.new("RGB", (8, 8)), 8, channels=4)
