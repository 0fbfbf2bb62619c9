import numpy as np
import pytest
from scipy.signal import resample_poly

from kit.data.resample import context, resampled

WAVE = np.random.default_rng(0).standard_normal(30_011).astype(np.float32)


def pieces(wave, lengths):
    """The wave cut into blocks of these lengths, over and over."""
    first, blocks = 0, []
    while first < len(wave):
        blocks.append(wave[first : first + lengths[len(blocks) % len(lengths)]])
        first += len(blocks[-1])
    return blocks


@pytest.mark.parametrize(("up", "down"), [(1, 2), (2, 1), (1, 3), (320, 441), (441, 320), (2, 3), (7, 11)])
@pytest.mark.parametrize("lengths", [[1000], [1, 7, 4000], [29_999], [30_011], [50_000], [100]])
def test_blocks_have_the_bits_of_the_whole(up, down, lengths):
    blocks = list(resampled(pieces(WAVE, lengths), 100 * down, 100 * up))
    whole = resample_poly(WAVE, up, down)
    assert sum(map(len, blocks)) == len(whole) == -(-len(WAVE) * up // down)
    found = np.concatenate(blocks)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, whole)


def test_rates_that_share_no_factor():
    """44,101 Hz: the filter has 882,021 taps, and blocks are of at least 44,101 samples."""
    wave = np.random.default_rng(1).standard_normal(100_000).astype(np.float32)
    found = np.concatenate(list(resampled(pieces(wave, [30_000]), 44_101, 16_000)))
    np.testing.assert_array_equal(found, resample_poly(wave, 16_000, 44_101))


def test_blocks_come_before_the_wave_ends():
    """So that it is never held as a whole: all but the context of what was read is out."""
    read = []

    def blocks():
        for block in pieces(WAVE, [1000]):
            read.append(len(block))
            yield block

    for number, _ in enumerate(resampled(blocks(), 32_000, 16_000)):
        assert len(read) <= number + 2
    assert number == 31


def test_what_comes_before_a_place_depends_on_no_more_than_its_context():
    reach = context(48_000, 32_000)
    assert reach == 18 and reach % 3 == 0, "10 · 3 / 2 + 1 inputs, in whole periods of 3"
    changed = WAVE.copy()
    changed[3000 + reach :] = 0
    one, two = (np.concatenate(list(resampled([wave], 48_000, 32_000))) for wave in (WAVE, changed))
    np.testing.assert_array_equal(one[:2000], two[:2000])
    assert (one != two).any()


def test_equal_rates_hand_the_blocks_on():
    assert context(16_000, 16_000) == 0
    blocks = pieces(WAVE, [1000])
    assert all(one is two for one, two in zip(resampled(blocks, 16_000, 16_000), blocks, strict=True))


def test_a_wave_shorter_than_the_filter():
    np.testing.assert_array_equal(
        np.concatenate(list(resampled([WAVE[:3]], 48_000, 16_000))), resample_poly(WAVE[:3], 1, 3)
    )
