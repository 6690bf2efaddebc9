"""The placeholder videos that we make: decoded again, and looked at."""

from __future__ import annotations

import hashlib
import io
from itertools import islice
from pathlib import Path

import av
import pytest
from click.testing import CliRunner
from conftest import Ran, Run
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageChops, ImageFont, features

from kaltura_archiver.cli import cli
from kaltura_archiver.errors import InputError
from kaltura_archiver.people.placeholder_video import (
    HEIGHT,
    SYSTEM_FONTS,
    TEXTS,
    WIDTH,
    Design,
    draw_frame,
    make_placeholder,
)
from kaltura_archiver.placeholders import check_placeholder
from kaltura_archiver.sandbox.world import Sandbox

ROOT = Path(__file__).parents[2]
DEJAVU = Path("/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf")
need_font = pytest.mark.skipif(not DEJAVU.exists(), reason="no font with more than plain letters (fonts-dejavu-core)")


def call(*arguments: object) -> Ran:
    result = CliRunner().invoke(cli, ["placeholder", *map(str, arguments)])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Ran(result.exit_code, result.stdout, result.stderr)


def picture_of(data: bytes, number: int = 0) -> Image.Image:
    with av.open(io.BytesIO(data)) as container:
        return next(islice(container.decode(container.streams.video[0]), number, None)).to_image()


def unlike(one: Image.Image, other: Image.Image) -> float:
    """Mean difference of two pictures, of 255."""
    histogram = ImageChops.difference(one.convert("L"), other.convert("L")).histogram()
    return sum(level * count for level, count in enumerate(histogram)) / (one.width * one.height)


def painted(picture: Image.Image) -> tuple[int, int, int, int]:
    """The box in which there is something."""
    found = ImageChops.difference(picture, Image.new("RGB", picture.size, picture.getpixel((0, 0)))).getbbox()
    assert found is not None
    return found


def assert_plays_everywhere(data: bytes, seconds: float, language: str) -> None:
    assert data[4:8] == b"ftyp"
    assert data.index(b"moov") < data.index(b"mdat")  # it begins to play before it has all come
    with av.open(io.BytesIO(data)) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        assert len(container.streams.get()) == 2
        assert (video.codec_context.name, video.codec_context.profile, video.codec_context.pix_fmt) == (
            "h264", "Main", "yuv420p",
        )  # fmt: skip
        assert (video.width, video.height) == (1280, 720)
        assert (audio.codec_context.name, audio.codec_context.profile, audio.layout.name) == ("aac", "LC", "stereo")
        assert {video.metadata["language"], audio.metadata["language"]} == {language}
        assert float(container.duration or 0) / av.time_base == pytest.approx(seconds, abs=0.1)
        frames = sum(1 for _ in container.decode(video))
    assert frames == round(seconds * 25)
    with av.open(io.BytesIO(data)) as container:
        heard = list(container.decode(container.streams.audio[0]))
    assert sum(frame.samples for frame in heard) / 48000 == pytest.approx(seconds, abs=0.1)
    assert all(not any(bytes(plane)) for frame in heard for plane in frame.planes)


def test_a_placeholder_has_a_picture_of_720p_silence_and_its_length(tmp_path: Path) -> None:
    ran = call("--seconds", "1.5", "--text", "Away.\\nBack soon.", "-o", "made.mp4")
    assert ran.code == 0, ran.err
    data = Path("made.mp4").read_bytes()
    assert_plays_everywhere(data, 1.5, "eng")
    assert ran.rows == [
        {
            "file": "made.mp4", "bytes": str(len(data)), "seconds": "1.5",
            "sha256": hashlib.sha256(data).hexdigest(),
        }
    ]  # fmt: skip
    assert len(data) < 60_000
    check_placeholder(Path("made.mp4"))
    wanted = draw_frame(Design("Away.\nBack soon."))
    assert max(unlike(picture_of(data, number), wanted) for number in (0, 37)) < 2
    assert unlike(wanted, draw_frame(Design("Another text\nof two lines"))) > 3  # so the line above can fail
    assert [path.name for path in tmp_path.iterdir()] == ["made.mp4"]


def test_colours_arrive_as_they_were_given() -> None:
    for red, green, blue in ((20, 33, 61), (200, 30, 30), (250, 250, 240)):
        shown = make_placeholder(Design("x", background=f"#{red:02x}{green:02x}{blue:02x}", seconds=0.04))
        found = picture_of(shown).getpixel((5, 5))
        assert isinstance(found, tuple)
        assert all(abs(a - b) <= 5 for a, b in zip(found, (red, green, blue), strict=True)), found


def test_the_same_arguments_make_the_same_bytes_and_others_do_not() -> None:
    first, second, other, longer = (
        make_placeholder(Design(text, seconds=seconds))
        for text, seconds in (("Away", 0.2), ("Away", 0.2), ("Gone", 0.2), ("Away", 0.4))
    )
    assert first == second
    assert len({first, other, longer}) == 3


def test_the_placeholder_of_the_repository_is_one_of_ours() -> None:
    data = (ROOT / "placeholder_video.mp4").read_bytes()
    assert_plays_everywhere(data, 10, "eng")
    assert unlike(picture_of(data, 100), draw_frame(Design(TEXTS["en"][1]))) < 2
    check_placeholder(ROOT / "placeholder_video.mp4")


def test_the_text_is_wrapped_and_stays_within_the_picture() -> None:
    for text in ("Word", "word " * 60, "A line\nand " + "more " * 30, "x" * 40, "\n".join("abcdefgh")):
        left, top, right, bottom = painted(draw_frame(Design(text)))
        assert 90 <= left < right <= WIDTH - 90, text
        assert 90 <= top < bottom <= HEIGHT - 90, text
        assert abs((left + right) / 2 - WIDTH / 2) < 20, text


@settings(max_examples=20)
@given(st.text(st.sampled_from("ab cdefgh,.\nWM-"), min_size=1, max_size=300).filter(str.strip))
def test_any_text_that_is_not_refused_fits(text: str) -> None:
    try:
        left, top, right, bottom = painted(draw_frame(Design(text)))
    except InputError as error:
        assert "too long" in str(error)  # noqa: PT017 - either is right
    else:
        assert left >= 90
        assert top >= 80
        assert right <= WIDTH - 90
        assert bottom <= HEIGHT - 80


def test_dark_writing_on_a_light_ground_and_light_on_dark() -> None:
    for background, darker in (("#ffffff", True), ("#000000", False), ("yellow", True), ("#14213d", False)):
        picture = draw_frame(Design("MMMMMM", background=background)).convert("L")
        ground = picture.getpixel((0, 0))
        assert isinstance(ground, int)
        low, high = picture.getextrema()
        assert (ground - low > 100) if darker else (high - ground > 100)


def test_a_logo_keeps_its_shape_and_its_transparency() -> None:
    logo = Image.new("RGBA", (300, 100), (0, 0, 0, 0))
    logo.paste((255, 0, 0, 255), (0, 0, 150, 100))
    logo.save("logo.png")
    picture = draw_frame(Design("Text", logo=Path("logo.png"), background="black"))
    red = [
        (x, y) for y in range(0, HEIGHT, 4) for x in range(0, WIDTH, 4) if picture.getpixel((x, y)) == (255, 0, 0)
    ]  # fmt: skip
    width, height = (max(values) - min(values) for values in zip(*red, strict=True))
    assert height == pytest.approx(160, abs=8)
    assert width == pytest.approx(240, abs=8)  # half of it is transparent
    logo.convert("P").save("logo.gif")
    Image.new("L", (4000, 20)).save("wide.jpg")
    for name in ("logo.gif", "wide.jpg"):
        draw_frame(Design("Text", logo=Path(name)))


def no_fonts() -> tuple[tuple[str, Path], ...]:
    return tuple((package, Path("/nowhere", path.name)) for package, path in SYSTEM_FONTS)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ["--text", "Dieses Video ist für später"],
            "has no ü ä: install one that has (Debian: apt-get install",
        ),
        (["--language", "de"], "has no ä: install one that has (Debian: apt-get install fonts-dejavu-core), or give"),
        (["--language", "ar"], "apt-get install fonts-dejavu-core), or give one with --font"),
        (["--language", "zh"], "apt-get install fonts-wqy-microhei), or give one with --font"),
        (["--text", "日本語"], "has no 日 本 語: install one that has (Debian: apt-get install fonts-wqy-microhei)"),
        (["--text", "long " * 2000], "too long to be read"),
        (["--text", " "], "--text is given without a value"),
        (["--text", "bell \x07"], "cannot be drawn: U+0007"),
        (["--background", "nocolour"], "not a colour such as"),
        (["--logo", "none.png"], "cannot read --logo none.png: No such file"),
        (["--logo", "text"], "cannot read --logo text: not a picture"),
        (["--logo", "huge.png"], "make it smaller"),
        (["--font", "none.ttf"], "cannot read --font none.ttf: no such file"),
        (["--font", "text"], "cannot read --font text: not a font"),
        (["--language", "xx"], "neither en, de, es, fr, zh, ar nor an ISO 639-2 code"),
        (["--language", "jpn"], "say one with --text"),
        (["--seconds", "0"], "--seconds"),
        (["-o", "no/such/folder.mp4", "--seconds", "1"], "cannot write no/such/folder.mp4: there is no folder no/such"),
    ],
)
def test_what_cannot_be_made_is_told_in_one_line(
    arguments: list[str], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As on a machine without fonts.
    monkeypatch.setattr("kaltura_archiver.people.placeholder_video.SYSTEM_FONTS", no_fonts())
    Path("text").write_text("neither a picture nor a font")
    Image.new("1", (8000, 7000)).save("huge.png")
    ran = call(*arguments)
    assert ran.code == 2
    assert len(ran.err.splitlines()) == 1
    assert told in ran.err
    assert not Path("placeholder_video.mp4").exists()


def test_a_placeholder_in_use_is_not_overwritten_by_accident() -> None:
    Path("placeholder_video.mp4").write_bytes(b"in use")
    ran = call("--seconds", "1")
    assert ran.code == 2
    assert "placeholder_video.mp4 exists: another placeholder would have another size" in ran.err
    assert Path("placeholder_video.mp4").read_bytes() == b"in use"
    assert call("--seconds", "1", "--force").code == 0
    check_placeholder(Path("placeholder_video.mp4"))


def test_without_the_libraries_the_command_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    ran = call()
    assert ran.code == 2
    assert "needs PyAV and Pillow: pip install 'kaltura-archiver[placeholder]'" in ran.err


@need_font
def test_each_language_has_a_text_that_fits() -> None:
    assert list(TEXTS) == ["en", "de", "es", "fr", "zh", "ar"]
    for language, (code, text) in TEXTS.items():
        assert len(code) == 3
        if language != "zh" or any(path.is_file() for _, path in SYSTEM_FONTS[1:]):
            painted(draw_frame(Design(text, language)))


@need_font
def test_a_font_of_the_system_is_taken_only_where_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    english = draw_frame(Design("Archived"))
    assert unlike(english, draw_frame(Design("Archived", font=DEJAVU))) > 0
    assert unlike(draw_frame(Design("für später")), draw_frame(Design("für später", font=DEJAVU))) == 0
    monkeypatch.setattr("kaltura_archiver.people.placeholder_video.SYSTEM_FONTS", no_fonts())
    assert unlike(draw_frame(Design("Archived")), english) == 0


@need_font
def test_the_first_font_that_has_all_letters_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    mono = DEJAVU.with_name("DejaVuSansMono.ttf")
    if not mono.exists():
        pytest.skip("fonts-dejavu-core without its Mono")
    # It has no Hebrew, which the second has.
    fonts = (("mono", mono), ("sans", DEJAVU))
    monkeypatch.setattr("kaltura_archiver.people.placeholder_video.SYSTEM_FONTS", fonts)
    assert unlike(draw_frame(Design("für")), draw_frame(Design("für", font=mono))) == 0
    assert unlike(draw_frame(Design("שלום")), draw_frame(Design("שלום", font=DEJAVU))) == 0


@need_font
@pytest.mark.skipif(not features.check("fribidi"), reason="no FriBiDi here")
def test_language_ar_makes_a_video_that_says_so() -> None:
    assert call("--language", "ar", "-o", "ar.mp4", "--seconds", "1").code == 0
    assert_plays_everywhere(Path("ar.mp4").read_bytes(), 1, "ara")


@need_font
@pytest.mark.skipif(not features.check("fribidi"), reason="no FriBiDi here")
def test_hebrew_runs_from_right_to_left_with_latin_words_in_it_and_arabic_letters_join() -> None:
    font = ImageFont.truetype(str(DEJAVU), 72, layout_engine=ImageFont.Layout.BASIC)
    # The first word stands at the right end of the line; of one language only, so that its width tells.
    both = draw_frame(Design("שלום abc", font=DEJAVU))
    alone = draw_frame(Design("abc", font=DEJAVU))
    left, top, right, bottom = painted(both)
    latin = alone.crop(painted(alone))
    assert unlike(both.crop((left, bottom - latin.height, left + latin.width, bottom)), latin) < 12
    assert unlike(both.crop((right - latin.width, bottom - latin.height, right, bottom)), latin) > 12
    joined = painted(draw_frame(Design("مرحبا", font=DEJAVU)))
    assert joined[2] - joined[0] < font.getlength("مرحبا") - 20  # isolated letters are wider
    assert top < bottom


def test_without_fribidi_such_scripts_are_refused_rather_than_drawn_backwards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "check", lambda feature: feature != "fribidi")
    for text in ("שלום", "مرحبا", "हिन्दी"):
        with pytest.raises(InputError, match="needs FriBiDi: install it"):
            draw_frame(Design(text))


@need_font
def test_scripts_without_spaces_are_wrapped_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "kaltura_archiver.people.placeholder_video._missing", lambda font, text: []
    )  # no font here has them
    left, _, right, _ = painted(draw_frame(Design("日本語" * 30, font=DEJAVU)))
    assert 90 <= left < right <= WIDTH - 90


def test_replace_video_puts_such_a_placeholder_in(sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert call("--seconds", "1", "-o", "ours.mp4").code == 0
    monkeypatch.setenv("PLACEHOLDER_VIDEO", "ours.mp4")
    entry_id = sandbox.add("archived", content=b"video" * 100_000)
    assert run("replace_video", "--id", entry_id, "--no-dry-run").outcomes == {entry_id: "done"}
    assert run("explain", entry_id, "--format", "json").json["state"]["name"] == "placeholder"
