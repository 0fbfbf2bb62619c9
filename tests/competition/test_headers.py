import numpy as np
import pytest
import soundfile

from kit.competition.headers import audio_header, vorbis_header
from kit.competition.listing import Listing


@pytest.mark.parametrize("seconds", [0.01, 0.3, 1.0, 20.0])
@pytest.mark.parametrize("rate_hz", [8000, 32000, 44100])
@pytest.mark.parametrize("channels", [1, 2])
def test_an_ogg_files_own_pages_say_what_libsndfile_says(tmp_path, seconds, rate_hz, channels):
    wave = 0.1 * np.random.default_rng(0).standard_normal((round(seconds * rate_hz), channels), dtype=np.float32)
    soundfile.write(tmp_path / "a.ogg", wave, rate_hz, format="OGG", subtype="VORBIS")
    told = soundfile.info(tmp_path / "a.ogg")
    assert (
        vorbis_header(tmp_path / "a.ogg") == (told.frames / told.samplerate, rate_hz) == (len(wave) / rate_hz, rate_hz)
    )


def test_what_is_no_whole_ogg_vorbis_is_left_to_libsndfile(tmp_path):
    wave = 0.1 * np.random.default_rng(0).standard_normal(64000, dtype=np.float32)
    for name in ("a.flac", "a.opus", "a.ogg"):
        soundfile.write(
            tmp_path / name,
            wave,
            16000,
            subtype="OPUS" if name == "a.opus" else None,
            format="OGG" if name == "a.opus" else None,
        )
    content = (tmp_path / "a.ogg").read_bytes()
    for size in (0, 3, 27, 57, 100, len(content) // 2, len(content) - 1):
        (tmp_path / f"cut{size}.ogg").write_bytes(content[:size])
    (tmp_path / "twice.ogg").write_bytes(content + content[:40])
    for path in tmp_path.iterdir():
        if path.name not in ("a.ogg", f"cut{len(content) - 1}.ogg"):
            assert vorbis_header(path) is None, path.name
    listing = Listing(tmp_path)
    assert audio_header(listing, "a.flac") == (4.0, 16000)
    assert audio_header(listing, "a.opus")[0] == pytest.approx(4.0)
    assert audio_header(listing, "cut57.ogg").startswith("not audio that can be read (")
    assert audio_header(listing, "cut0.ogg") == "the file is empty"
    assert audio_header(listing, "b.ogg") == "no such file on disk: looked for b.ogg"


def test_a_stream_cut_out_of_a_longer_one_is_left_to_libsndfile(tmp_path):
    """Its pages count from where the longer one began."""
    wave = 0.1 * np.random.default_rng(0).standard_normal(3 * 32000, dtype=np.float32)
    soundfile.write(tmp_path / "a.ogg", wave, 32000)
    content = bytearray((tmp_path / "a.ogg").read_bytes())
    place = 0
    while (place := content.find(b"OggS", place)) >= 0:
        count = int.from_bytes(content[place + 6 : place + 14], "little")
        content[place + 6 : place + 14] = (count + 10**7 if count else 0).to_bytes(8, "little")
        place += 4
    (tmp_path / "b.ogg").write_bytes(content)
    assert vorbis_header(tmp_path / "b.ogg") is None
