import io

import numpy as np
import pytest
from PIL import Image

from unified.report.video import (
    caption,
    encode_mp4,
    encode_webp,
    enlarge,
    error_map,
    read_video,
    side_by_side,
    stack,
    write_mp4,
)


def moving_square(frames: int = 12, height: int = 48, width: int = 64) -> np.ndarray:
    film = np.full((frames, height, width, 3), 40, np.uint8)
    for index in range(frames):
        film[index, 8:24, 2 * index : 2 * index + 16] = (220, 80, 60)
    return film


def test_an_mp4_plays_back_what_was_written_in_a_format_browsers_take(tmp_path):
    film = moving_square()
    write_mp4(tmp_path / "film.mp4", film, fps=20.0, quality=12)
    played = read_video(tmp_path / "film.mp4")
    assert played.shape == film.shape
    assert np.abs(played.astype(float) - film).mean() < 4
    content = (tmp_path / "film.mp4").read_bytes()
    assert b"avc1" in content
    assert content.index(b"moov") < content.index(b"mdat"), "a browser should not have to load it all before it plays"


def test_an_mp4_of_odd_size_grows_by_one_row_and_column(tmp_path):
    (tmp_path / "odd.mp4").write_bytes(encode_mp4(moving_square(height=49, width=63), 10.0))
    played = read_video(tmp_path / "odd.mp4")
    assert played.shape == (12, 50, 64, 3)


def test_a_webp_holds_every_picture_at_the_given_pace():
    with Image.open(io.BytesIO(encode_webp(moving_square(), fps=20.0, quality=90))) as image:
        assert image.n_frames == 12  # pyright: ignore[reportAttributeAccessIssue]
        image.seek(3)
        image.load()
        assert image.info["duration"] == 50
        assert np.abs(np.asarray(image.convert("RGB")).astype(float) - moving_square()[3]).mean() < 6


@pytest.mark.parametrize("encode", [encode_webp, encode_mp4])
def test_an_empty_film_is_refused(encode):
    with pytest.raises(ValueError, match="A film is uint8"):
        encode(np.zeros((0, 8, 8, 3), np.uint8), 10.0)


def test_films_side_by_side_keep_their_pixels_and_hold_their_last_picture():
    long, short = moving_square(12), moving_square(5)
    both = side_by_side([long, short], ["truth", "imagined"])
    strip = both.shape[1] - 48
    assert both.shape == (12, 48 + strip, 64 + 4 + 64, 3)
    np.testing.assert_array_equal(both[:, strip:, :64], long)
    np.testing.assert_array_equal(both[11, strip:, 68:], short[4])
    assert (both[0, :strip, :64] < 128).any(), "the label is written"
    assert stack([both, both]).shape == (12, 2 * both.shape[1] + 4, 132, 3)


def test_films_of_different_heights_are_refused():
    with pytest.raises(ValueError, match="one height"):
        side_by_side([moving_square(), moving_square(height=32)], ["a", "b"])


def test_a_long_label_is_made_to_fit_and_the_picture_is_untouched():
    film = moving_square()
    titled = caption(film, "a label that is much too long for so small a picture")
    np.testing.assert_array_equal(titled[:, -48:], film)


def test_enlarging_keeps_pixels_and_the_error_map_shows_where_films_differ():
    film = moving_square()
    large = enlarge(film, 192)
    assert large.shape == (12, 144, 192, 3)
    np.testing.assert_array_equal(large[:, ::3, ::3], film)
    other = film.copy()
    other[:, 0, 0] += 30
    error = error_map(film, other, gain=3.0)
    assert error[:, 0, 0].tolist() == [[90, 90, 90]] * 12
    assert error.sum() == 12 * 3 * 90
