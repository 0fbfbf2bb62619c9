import random
import sys

import numpy as np
import pytest
import soundfile

from kit.data.features import LogMel, Wave
from kit.data.wave_augment import WaveAugment

RATE = 16000
TIME = np.arange(RATE) / RATE
TONE = (0.1 * np.sin(2 * np.pi * 500 * TIME)).astype(np.float32)
OFF = {"snr_db": None, "gain_db": None, "pitch_semitones": None, "stretch_rate": None}
EVERY_STEP = {"snr_db": (5, 20), "gain_db": (-6, 6), "pitch_semitones": (-2, 2), "stretch_rate": (0.8, 1.25)}


def steps(**fields):
    """The part at work on waves of RATE, with the steps that are named alone."""
    return WaveAugment(**{**OFF, **fields}).make(Wave(LogMel(sample_rate_hz=RATE)))


def rms(wave):
    return np.sqrt(np.mean(wave.astype(np.float64) ** 2))


def loudest_hz(wave):
    return np.abs(np.fft.rfft(wave * np.hanning(len(wave)))).argmax() * RATE / len(wave)


@pytest.fixture
def hum_folder(tmp_path):
    """A folder with one background noise, a tone of 3 kHz in a sub-folder."""
    (tmp_path / "deep").mkdir()
    soundfile.write(tmp_path / "deep" / "hum.wav", 0.3 * np.sin(2 * np.pi * 3000 * np.arange(2 * RATE) / RATE), RATE)
    return tmp_path


def test_gain_of_6_db_doubles():
    louder = steps(gain_db=(20 * np.log10(2),) * 2, probability=1.0)(TONE, seed=0)
    np.testing.assert_allclose(louder, 2 * TONE, rtol=1e-5)


def test_noise_has_the_snr_asked_for():
    noisy = steps(snr_db=(20, 20), probability=1.0)(TONE, seed=0)
    assert 20 * np.log10(rms(TONE) / rms(noisy - TONE)) == pytest.approx(20, abs=0.2)


def test_an_octave_up_doubles_the_pitch_and_keeps_the_length():
    higher = steps(pitch_semitones=(12, 12), probability=1.0)(TONE, seed=0)
    assert loudest_hz(higher[2000:-2000]) == pytest.approx(1000, abs=20)
    assert higher.shape == TONE.shape


def test_stretch_to_double_speed_halves_the_sound_and_keeps_pitch_and_length():
    quick = steps(stretch_rate=(2, 2), probability=1.0)(TONE, seed=0)
    assert quick.shape == TONE.shape
    assert rms(quick[9000:]) < 1e-6
    assert loudest_hz(quick[:7000]) == pytest.approx(500, abs=20)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of librosa's, on Python 3.11
def test_background_is_found_below_the_folder_and_mixed_at_its_snr(hum_folder):
    mixed = steps(background=str(hum_folder), background_snr_db=(10, 10), probability=1.0)(TONE, seed=0)
    assert loudest_hz(mixed - TONE) == pytest.approx(3000, abs=5)
    assert 20 * np.log10(rms(TONE) / rms(mixed - TONE)) == pytest.approx(10, abs=0.1)


def test_a_seed_fixes_the_result_whatever_was_drawn_before():
    augment = steps(**EVERY_STEP, probability=0.7)
    first = augment(TONE, seed=(1, 2, 3))
    augment(TONE, seed=9)
    random.random()
    assert np.array_equal(augment(TONE, seed=(1, 2, 3)), first)
    assert np.array_equal(steps(**EVERY_STEP, probability=0.7)(TONE, seed=(1, 2, 3)), first)
    assert not np.array_equal(augment(TONE, seed=(1, 2, 4)), first)


@pytest.mark.parametrize("step", EVERY_STEP)
def test_a_seed_fixes_each_step(step):
    augment = steps(**{step: EVERY_STEP[step]}, probability=1.0)
    first = augment(TONE, seed=0)
    random.random(), np.random.random()  # noqa: NPY002, B018
    assert np.array_equal(augment(TONE, seed=0), first)
    assert not np.array_equal(augment(TONE, seed=1), first)


@pytest.mark.parametrize("rate", [0.5, 10.0])
def test_a_seed_fixes_the_result_at_the_ends_of_the_stretch(rate):
    augment = steps(stretch_rate=(rate, rate), probability=1.0)
    assert np.array_equal(augment(TONE, seed=0), augment(TONE, seed=0))


def test_global_generators_are_put_back():
    random.seed(5)
    np.random.seed(5)  # noqa: NPY002
    expected = random.random(), np.random.random()  # noqa: NPY002
    random.seed(5)
    np.random.seed(5)  # noqa: NPY002
    steps(**EVERY_STEP, probability=1.0)(TONE, seed=0)
    assert (random.random(), np.random.random()) == expected  # noqa: NPY002


def test_global_generators_are_put_back_after_an_error():
    augment = steps(gain_db=(0, 0))
    augment.steps = [lambda wave, rate: 1 / 0]
    random.seed(5)
    expected = random.random()
    random.seed(5)
    with pytest.raises(ZeroDivisionError):
        augment(TONE, seed=0)
    assert random.random() == expected


def test_input_is_untouched_and_output_is_a_float32_of_its_length():
    before = TONE.copy()
    after = steps(**EVERY_STEP, probability=1.0)(TONE, seed=0)
    assert np.array_equal(TONE, before)
    assert after.dtype == np.float32 and after.shape == TONE.shape and np.isfinite(after).all()


@pytest.mark.parametrize("augment", [steps(**EVERY_STEP, probability=0.0), steps()])
def test_without_a_step_the_wave_comes_back_as_a_copy(augment):
    same = augment(TONE, seed=0)
    assert np.array_equal(same, TONE)
    assert not np.shares_memory(same, TONE)


def test_probability_is_the_share_of_calls_that_change():
    augment = steps(gain_db=(6, 6), probability=0.25)
    changed = sum(not np.array_equal(augment(TONE, seed=seed), TONE) for seed in range(400))
    assert 70 <= changed <= 130  # 100 ± 3.5 sd


def test_silence_stays_finite():
    assert np.isfinite(steps(**EVERY_STEP, probability=1.0)(np.zeros(4000, np.float32), seed=0)).all()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"snr_db": (20, 5)}, r"snr_db must be \(low, high\) with low <= high, got \(20, 5\)"),
        ({"snr_db": (5, 200)}, r"snr_db must lie in -60 to 120, got \(5, 200\)"),
        ({"stretch_rate": (0.4, 1)}, r"stretch_rate must lie in 0.5 to 10, got \(0.4, 1\)"),
        ({"pitch_semitones": (0, 30)}, r"pitch_semitones must lie in -24 to 24, got \(0, 30\)"),
        ({"gain_db": (float("nan"), 1)}, r"gain_db must be .* got \(nan, 1\)"),
        ({"gain_db": 3.0}, "gain_db must be of type tuple or NoneType, got 3.0"),
        ({"background_snr_db": (1, 2, 3)}, r"background_snr_db must be .* got \(1, 2, 3\)"),
        ({"probability": 1.5}, r"probability must be in \[0, 1\], got 1.5"),
    ],
)
def test_bad_fields_are_named(fields, message):
    with pytest.raises(ValueError, match=message):
        WaveAugment(**fields)


def test_a_background_is_looked_for_when_training_begins(tmp_path):
    part = WaveAugment(background=str(tmp_path / "none"))
    with pytest.raises(ValueError, match=f"background must be a folder, got {tmp_path}/none"):
        part.make(Wave())
    with pytest.raises(ValueError, match=f"background must hold audio files, got {tmp_path}"):
        steps(background=str(tmp_path))


@pytest.mark.parametrize(
    ("wave", "got"),
    [
        (TONE[None], r"float32 \(1, 16000\)"),
        (TONE.astype(np.float64), r"float64 \(16000,\)"),
        (TONE[:0], r"float32 \(0,\)"),
        ([0.0], "list"),
    ],
)
def test_bad_waves_are_named(wave, got):
    with pytest.raises(ValueError, match=rf"wave must be a float32 array of the shape \(N,\), N > 0, got {got}"):
        steps()(wave, seed=0)


def test_without_audiomentations_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "audiomentations", None)
    with pytest.raises(ImportError, match="pip install audiomentations"):
        steps(gain_db=(0, 0))
