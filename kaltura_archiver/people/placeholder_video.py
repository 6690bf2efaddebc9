"""Makes a placeholder video: a text on a plain picture, in silence. The same bytes for the same arguments."""

from __future__ import annotations

import tempfile
import unicodedata
import warnings
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from PIL import Image, ImageColor, ImageDraw, ImageFont, features

from kaltura_archiver.errors import InputError

WIDTH, HEIGHT = 1280, 720
FRAMES_PER_SECOND = 25
SAMPLE_RATE, SAMPLES_PER_FRAME = 48000, 1024  # 1024: what an AAC packet holds
MAX_SECONDS = 600

# Language to its ISO 639-2 code, which is what an MP4 tells players, and what the placeholder says in it.
TEXTS = {
    "en": (
        "eng",
        "This video is archived\n\nBy playing it you have asked for it.\nIt will be back here within two days.",
    ),
    "de": (
        "deu",
        "Dieses Video ist archiviert\n\nDurch das Abspielen haben Sie es angefordert.\n"
        "In spätestens zwei Tagen ist es wieder hier.",
    ),
    "es": (
        "spa",
        "Este vídeo está archivado\n\nAl reproducirlo, usted lo ha solicitado.\n"
        "Volverá a estar aquí en un plazo de dos días.",
    ),
    "fr": (
        "fra",
        "Cette vidéo est archivée\n\nEn la lançant, vous l'avez demandée.\nElle sera de retour ici sous deux jours.",
    ),
    "zh": ("zho", "本视频已归档\n\n您播放了它，即已申请取回。\n它将在两天之内恢复。"),  # noqa: RUF001 - its own comma
    "ar": ("ara", "هذا الفيديو مؤرشف\n\nبتشغيله تكون قد طلبت استعادته.\nسيعود إلى هنا في غضون يومين."),  # noqa: RUF001
}
# Where Pillow's own font lacks a letter, the first of these that has all: Debian's package, and where it puts the font.
SYSTEM_FONTS = (
    ("fonts-dejavu-core", Path("/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf")),
    ("fonts-wqy-microhei", Path("/usr/share/fonts/truetype/wqy/wqy-microhei.ttc")),
    ("fonts-noto-cjk", Path("/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc")),
)

_MARGIN = 100
_GAP = 40  # between logo and text
_LOGO = (480, 180)
_SIZES = range(72, 23, -4)  # of the letters, in pixels: the largest with which the text fits
_GOOD_SIZE = 40
_LEADING = 1.35
_MAX_CHARACTERS = 1000
_MAX_LOGO_PIXELS = 50_000_000
# BT.709 of 8-bit video, as players take HD to be. Pillow's own YCbCr is JPEG's.
_TO_YUV = (
    *(0.18259, 0.61423, 0.06201, 16),
    *(-0.10064, -0.33857, 0.43922, 128),
    *(0.43922, -0.39894, -0.04027, 128),
)

_Font = ImageFont.FreeTypeFont


@dataclass(frozen=True)
class Design:
    """What the placeholder shows. `language` is a key of TEXTS or an ISO 639-2 code; no `font` is one
    that has the letters."""

    text: str
    language: str = "en"
    logo: Path | None = None
    font: Path | None = None
    background: str = "#14213d"
    seconds: float = 10.0


def make_placeholder(look: Design) -> bytes:
    """An MP4 that every player plays: H.264 and silent AAC, 1280 x 720, its index at the beginning.

    Other versions of PyAV or Pillow may make other bytes of it. Raises InputError for what cannot be shown.
    """
    return encode(draw_frame(look), look.seconds, TEXTS[look.language][0] if look.language in TEXTS else look.language)


# The picture


def draw_frame(look: Design) -> Image.Image:
    """The picture: the logo, and below it the text, as large as fits."""
    try:
        colour = ImageColor.getrgb(look.background)[:3]
    except ValueError as error:
        raise InputError(f"--background: {look.background!r} is not a colour such as #14213d or black") from error
    picture = Image.new("RGB", (WIDTH, HEIGHT), colour)
    logo = _logo(look.logo) if look.logo else None
    above = logo.height + _GAP if logo else 0
    font, lines, direction = _fitting(look, WIDTH - 2 * _MARGIN, HEIGHT - 2 * _MARGIN - above)
    step = round(font.size * _LEADING)
    top = (HEIGHT - above - step * len(lines)) // 2
    if logo:
        picture.paste(logo, ((WIDTH - logo.width) // 2, top), logo)
    # The text is white on dark and black on light, by how bright people see the colour.
    red, green, blue = colour
    ink = "black" if red * 299 + green * 587 + blue * 114 > 140_000 else "white"
    pen = ImageDraw.Draw(picture)
    for number, line in enumerate(lines):
        middle = (WIDTH / 2, top + above + step * (number + 0.5))
        pen.text(middle, line, ink, font, anchor="mm", direction=direction)
    return picture


def _logo(path: Path) -> Image.Image:
    """The logo in its place's size, with its transparency."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                if image.width * image.height > _MAX_LOGO_PIXELS:
                    raise InputError(f"--logo {path} has {image.width} x {image.height} pixels: make it smaller")
                logo = image.convert("RGBA")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        reason = getattr(error, "strerror", None) or "not a picture (PNG, JPEG, …)"
        raise InputError(f"cannot read --logo {path}: {reason}") from error
    factor = min(_LOGO[0] / logo.width, _LOGO[1] / logo.height)
    size = (max(1, round(logo.width * factor)), max(1, round(logo.height * factor)))
    return logo.resize(size, Image.Resampling.LANCZOS)


def _fitting(look: Design, width: int, height: int) -> tuple[_Font, list[str], str | None]:
    """The font in the largest size with which the text fits, its lines, and their direction."""
    text = unicodedata.normalize("NFC", look.text.strip())
    too_long = f"the text is too long to be read on a video ({len(text)} characters): make it shorter"
    if not text:
        raise InputError("the placeholder needs a text")
    if len(text) > _MAX_CHARACTERS:
        raise InputError(too_long)
    if odd := next((c for c in text if not c.isprintable() and c != "\n" and unicodedata.category(c) != "Cf"), None):
        raise InputError(f"the text has a character that cannot be drawn: U+{ord(odd):04X}")
    shaped = _needs_shaping(text)
    if shaped and not (features.check("raqm") and features.check("fribidi")):
        raise InputError(
            "letters of this script join or run from right to left, which needs FriBiDi: install it "
            "(Debian: apt-get install libfribidi0)"
        )
    direction = None
    if shaped:
        direction = "rtl" if _right_to_left(text) else "ltr"
    else:
        text = "".join(c for c in text if unicodedata.category(c) != "Cf")
    path = _font_with_all(text, look.font, shaped=shaped)
    fonts = [_font(path, size, shaped=shaped) for size in _SIZES]
    # Rather somewhat smaller letters than lines that were not meant to end there.
    as_written = text.count("\n") + 1
    for most_lines, candidates in ((as_written, [font for font in fonts if font.size >= _GOOD_SIZE]), (height, fonts)):
        for font in candidates:
            lines = _wrapped(text, font, width, direction)
            if 0 < len(lines) <= most_lines and len(lines) * round(font.size * _LEADING) <= height:
                return font, lines, direction
    raise InputError(too_long)


def _font_with_all(text: str, asked: Path | None, *, shaped: bool) -> Path | None:
    """The font that is asked for, or else the first that has all letters: None for Pillow's own, one of the system's.

    Raises InputError where there is none.
    """
    lacking = []
    for path in [asked] if asked else [None, *(path for _, path in SYSTEM_FONTS if path.is_file())]:
        font = _font(path, _SIZES[0], shaped=shaped)
        if not (missing := _missing(font, text)):
            return path
        lacking.append(f"the font {' '.join(filter(None, font.getname()))} has no {' '.join(missing[:10])}")
    wide = any(unicodedata.east_asian_width(c) in "WF" for c in text)
    package = SYSTEM_FONTS[wide][0]
    raise InputError(f"{lacking[0]}: install one that has (Debian: apt-get install {package}), or give one with --font")


def _font(path: Path | None, size: int, *, shaped: bool) -> _Font:
    # Without need, no library of the system takes part: it may differ from machine to machine.
    engine = ImageFont.Layout.RAQM if shaped else ImageFont.Layout.BASIC
    if path is None:
        builtin = ImageFont.load_default(size)
        if not isinstance(builtin, _Font):
            raise InputError("this Pillow was built without FreeType: install its wheel from PyPI")
        return builtin.font_variant(layout_engine=engine)
    try:
        return ImageFont.truetype(str(path), size, layout_engine=engine)
    except (OSError, ValueError) as error:
        reason = "not a font (TTF, OTF, TTC)" if path.is_file() else "no such file"
        raise InputError(f"cannot read --font {path}: {reason}") from error


def _needs_shaping(text: str) -> bool:
    return any(unicodedata.bidirectional(c) in ("R", "AL", "AN") or unicodedata.category(c)[0] == "M" for c in text)


def _right_to_left(text: str) -> bool:
    """By the first letter that has a direction, as Unicode's rule P2 has it."""
    return next((d for c in text if (d := unicodedata.bidirectional(c)) in ("L", "R", "AL")), "L") != "L"


def _missing(font: _Font, text: str) -> list[str]:
    """The characters that the font does not have, each once: it draws its empty box for them, or nothing."""

    def drawn(character: str) -> tuple[tuple[int, int], bytes]:
        mask = plain.getmask(character)
        return mask.size, bytes(mask)

    plain = font.font_variant(layout_engine=ImageFont.Layout.BASIC)
    box = drawn("\U0010ffff")  # never a character
    letters = dict.fromkeys(c for c in text if not c.isspace() and unicodedata.category(c) != "Cf")
    return [c for c in letters if (found := drawn(c)) == box or not any(found[1])]


def _wrapped(text: str, font: _Font, width: int, direction: str | None) -> list[str]:
    """The lines, none of them wider; empty where a word is. Scripts without spaces break between any two characters."""
    lines: list[str] = []
    for paragraph in text.split("\n"):
        line = ""
        for word in _words(paragraph):
            longer = f"{line}{word}" if line else word.lstrip()
            if font.getlength(longer.rstrip(), direction=direction) <= width:
                line = longer
            elif font.getlength(word.strip(), direction=direction) <= width:
                lines.append(line.rstrip())
                line = word.lstrip()
            else:
                return []
        lines.append(line.rstrip())
    return lines


def _words(paragraph: str) -> list[str]:
    """Where a line may end: after spaces, and after each ideograph or kana that no closing punctuation follows."""
    words = [""]
    for here, following in zip(paragraph, f"{paragraph[1:]} ", strict=False):
        words[-1] += here
        space = here == " " and following != " "
        wide = unicodedata.east_asian_width(here) in "WF" and unicodedata.category(following)[0] not in "PZ"
        if space or wide:
            words.append("")
    return [word for word in words if word]


# The video


def encode(picture: Image.Image, seconds: float, language: str) -> bytes:
    """The picture shown for so long, in silence."""
    # The index (moov) is moved to the front by the muxer, which for that has to read a file again.
    with tempfile.TemporaryDirectory(prefix="placeholder-") as folder:
        path = Path(folder) / "placeholder.mp4"
        options = {"movflags": "+faststart", "fflags": "+bitexact"}
        with av.open(str(path), "w", format="mp4", options=options) as container:
            video = container.add_stream("libx264", rate=FRAMES_PER_SECOND)
            audio = container.add_stream("aac", rate=SAMPLE_RATE, layout="stereo")
            assert isinstance(video, VideoStream) and isinstance(audio, AudioStream)  # noqa: S101, PT018 - by the names
            video.width, video.height, video.pix_fmt = picture.width, picture.height, "yuv420p"
            # More than one thread may cut the picture differently on another machine. A key frame every two seconds,
            # so that one can seek.
            video.options = {
                "preset": "medium", "tune": "stillimage", "crf": "23", "profile": "main", "level": "3.1",
                "threads": "1", "g": str(2 * FRAMES_PER_SECOND),
            }  # fmt: skip
            audio.bit_rate = 64_000
            for stream in (video, audio):
                stream.codec_context.flags |= av.codec.context.Flags.bitexact
                stream.metadata["language"] = language
            context = video.codec_context
            context.color_range, context.colorspace, context.color_primaries, context.color_trc = 1, 1, 1, 1  # BT.709
            frame, silence = _frame(picture), _silence()
            for number in range(max(1, round(seconds * FRAMES_PER_SECOND))):
                frame.pts = number
                container.mux(video.encode(frame))
            for number in range(max(1, round(seconds * SAMPLE_RATE / SAMPLES_PER_FRAME))):
                silence.pts = number * SAMPLES_PER_FRAME
                container.mux(audio.encode(silence))
            container.mux(video.encode(None))
            container.mux(audio.encode(None))
        return path.read_bytes()


def _frame(picture: Image.Image) -> VideoFrame:
    luma, *chroma = picture.convert("RGB", _TO_YUV).split()
    half = (picture.width // 2, picture.height // 2)
    frame = VideoFrame(picture.width, picture.height, "yuv420p")
    channels = (luma, *(channel.resize(half, Image.Resampling.BOX) for channel in chroma))
    for plane, channel in zip(frame.planes, channels, strict=True):
        rows, width = channel.tobytes(), channel.width
        padding = bytes(plane.line_size - width)
        plane.update(b"".join(rows[start : start + width] + padding for start in range(0, len(rows), width)))
    frame.time_base = Fraction(1, FRAMES_PER_SECOND)
    return frame


def _silence() -> AudioFrame:
    frame = AudioFrame("fltp", "stereo", SAMPLES_PER_FRAME)
    for plane in frame.planes:
        plane.update(bytes(plane.buffer_size))
    frame.sample_rate = SAMPLE_RATE
    frame.time_base = Fraction(1, SAMPLE_RATE)
    return frame
