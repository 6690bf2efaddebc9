"""The sandbox's media files: real ones, in exact sizes (what-runs.md section 6)."""

from __future__ import annotations

import pytest

from kaltura_archiver.sandbox.media import decoded_frames, make_audio, make_image, make_mp4


def test_an_mp4_decodes_and_is_the_same_each_time() -> None:
    first = make_mp4(seconds=1, seed=3)
    assert first[4:8] == b"ftyp"
    assert decoded_frames(first) == 10
    assert make_mp4(seconds=1, seed=3) == first


def test_seed_text_and_size_change_the_content() -> None:
    files = {make_mp4(seconds=0.5), make_mp4(seconds=0.5, seed=1), make_mp4(seconds=0.5, text="Placeholder")}
    files |= {make_mp4(seconds=0.5, width=160, height=90), make_audio(seconds=0.5), make_audio(seconds=0.5, seed=1)}
    assert len(files) == 6


@pytest.mark.parametrize("size", [100_000, 5_242_881])
def test_a_free_box_pads_an_mp4_to_an_exact_size(size: int) -> None:
    """what-runs.md section 6: a full decode agrees with the padded file."""
    padded = make_mp4(seconds=0.5, exact_bytes=size)
    assert len(padded) == size
    assert decoded_frames(padded) == 5


def test_padding_needs_room_for_a_box_header() -> None:
    plain = make_mp4(seconds=0.5)
    assert make_mp4(seconds=0.5, exact_bytes=len(plain)) == plain
    assert len(make_mp4(seconds=0.5, exact_bytes=len(plain) + 8)) == len(plain) + 8
    for size in (1, len(plain) - 1, len(plain) + 7):
        with pytest.raises(ValueError, match="cannot be had"):
            make_mp4(seconds=0.5, exact_bytes=size)


def test_audio_and_images_decode() -> None:
    assert decoded_frames(make_audio(seconds=1)) > 40
    assert decoded_frames(make_image()) == 1
    assert make_image(seed=1) != make_image(seed=2)


@pytest.mark.parametrize("data", [b"", b"<html>not found</html>", make_mp4(seconds=0.5)[:5000]])
def test_what_is_no_media_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="not decodable"):
        decoded_frames(data)
