import numpy as np
import pytest
import soundfile

from kit.demos.ogg import page_checksum, renumbered, write_ogg

WAVE = 0.1 * np.random.default_rng(0).standard_normal(100_000, dtype=np.float32)


def test_a_file_is_a_function_of_its_sound_and_number(tmp_path):
    for name, serial in (("a", 7), ("b", 7), ("c", 8)):
        write_ogg(tmp_path / f"{name}.ogg", WAVE, 32000, serial)
    first, second, third = ((tmp_path / f"{name}.ogg").read_bytes() for name in "abc")
    assert first == second != third
    told = soundfile.info(tmp_path / "a.ogg")
    assert (told.frames, told.samplerate, told.channels, told.subtype) == (100_000, 32000, 1, "VORBIS")
    read = [soundfile.read(tmp_path / f"{name}.ogg")[0] for name in "ac"]
    assert np.array_equal(*read)
    assert np.corrcoef(read[0], WAVE)[0, 1] > 0.8  # noise, of which the coder leaves much out


def test_the_checksum_is_libsndfiles_own(tmp_path):
    soundfile.write(tmp_path / "a.ogg", WAVE, 32000)
    content = (tmp_path / "a.ogg").read_bytes()
    serial = int.from_bytes(content[14:18], "little")
    assert renumbered(content, serial) == content != renumbered(content, serial + 1)


@pytest.mark.parametrize(("page", "checksum"), [(b"", 0), (b"\0", 0), (b"\1", 0x04C11DB7), (b"\2", 0x09823B6E)])
def test_the_checksum_of_one_byte_is_its_polynomial(page, checksum):
    """x^32 + … is 0x04C11DB7; a byte of 1 leaves it, a byte of 2 leaves it shifted by one."""
    assert page_checksum(page) == checksum
