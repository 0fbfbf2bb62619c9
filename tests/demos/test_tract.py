from dataclasses import replace

import numpy as np
import pytest
import scipy.signal

from kit.demos import tract
from kit.demos.tract import frication_response, glottal_pulses, record, say_utterance, say_word, send, speak
from kit.demos.tract import tract_response as response
from kit.demos.voices import PHONE_NAMES, Tracks, draw_voice, plan_tracks

HZ = np.arange(401) * 20.0  # the bins of the responses
N_STEPS = 200
PLAIN = replace(draw_voice(np.random.default_rng(0)), tilt=0.0, jitter=0.0, shimmer=0.0, breathiness=0.0)


def steady(**changes):
    """One second of one vowel at a pitch of 100 Hz, as tracks."""
    formants_hz = np.array([500.0, 1500, 2500, 3500, 4500, 5500, 6500, 7500])
    rows = np.ones(N_STEPS)
    fields = {
        "formants_hz": rows[:, None] * formants_hz,
        "bandwidths_hz": rows[:, None] * np.full(8, 60.0),
        "pitch_hz": rows * 100.0,
        "voicing": rows,
        "frication": rows * 0.0,
        "frication_hz": rows * 5000.0,
        "frication_width_hz": rows * 1000.0,
        "nasal_zero_hz": rows * 270.0,
        "phone": np.full(N_STEPS, PHONE_NAMES.index("a")),
    }
    return Tracks(**{**fields, **changes})


def test_peaks_of_the_response_are_the_formants():
    gain = np.abs(response(steady(), PLAIN, np.array([0]))[0])
    gain *= np.abs(1 - tract.SOURCE_POLE * np.exp(-2j * np.pi * HZ / 16000))  # the source's slope taken off
    peaks = HZ[scipy.signal.find_peaks(gain)[0]]
    np.testing.assert_allclose(peaks, [500, 1500, 2500, 3500, 4500, 5500, 6500, 7500], atol=20)


def test_the_response_is_scipys_freqz_of_the_cascade():
    tracks = steady(nasal_zero_hz=np.full(N_STEPS, 1000.0))
    expected = np.full(401, np.sqrt(1 - tract.SOURCE_POLE**2) * (1 - 0.4), complex)

    def resonance(hz, width_hz):
        pole = np.exp((-np.pi * width_hz + 2j * np.pi * hz) / 16000)
        taps = np.real(np.poly([pole, pole.conjugate()]))
        return scipy.signal.freqz([taps.sum()], taps, worN=HZ, fs=16000)[1]

    for hz in tracks.formants_hz[0]:
        expected *= resonance(hz, 60.0)
    expected *= resonance(270.0, 100.0) / resonance(1000.0, 100.0)
    for pole in (tract.SOURCE_POLE, 0.4):
        expected *= scipy.signal.freqz([1.0], [1.0, -pole], worN=HZ, fs=16000)[1]
    found = response(tracks, replace(PLAIN, tilt=0.4), np.array([7]))[0]
    np.testing.assert_allclose(found, expected, rtol=1e-3)


def test_frication_peaks_near_2_at_its_centre_and_is_0_at_0_hz():
    gain = np.abs(frication_response(steady(), np.array([0]))[0])
    assert HZ[gain.argmax()] == pytest.approx(5000, abs=300)
    assert gain.max() == pytest.approx(2, rel=0.2) and gain[0] == pytest.approx(0, abs=1e-6)


def test_windows_of_a_wave_add_up_to_it_again():
    wave = np.random.default_rng(0).standard_normal(N_STEPS * 80)
    whole = tract._overlap_add(np.fft.irfft(tract._spectra(wave, np.arange(N_STEPS))))[: len(wave)]
    np.testing.assert_allclose(whole[40:-40], wave[40:-40], atol=1e-5)  # half windows at the ends


def test_a_steady_vowel_is_lfilters():
    tracks = steady(bandwidths_hz=np.full((N_STEPS, 8), 150.0))  # rings out within the window
    rng = np.random.default_rng(0)
    pulses, _ = glottal_pulses(tracks, PLAIN, N_STEPS * 80, rng)
    impulse = np.fft.irfft(response(tracks, PLAIN, np.array([0]))[0])
    expected = scipy.signal.lfilter(impulse[:640], [1.0], pulses)
    found = speak(tracks, PLAIN, np.random.default_rng(0))
    np.testing.assert_allclose(found[800:-800], expected[800:-800], atol=2e-3 * np.abs(expected).max())


def test_100_pulses_a_second_of_power_1():
    pulses, phase = glottal_pulses(steady(), PLAIN, 16000, np.random.default_rng(0))
    assert len(scipy.signal.find_peaks(pulses, height=5)[0]) == pytest.approx(100, abs=1)
    assert np.mean(pulses[1000:-1000] ** 2) == pytest.approx(1.0, rel=0.1)
    assert phase[-1] - phase[0] == pytest.approx(100, abs=0.01)


def test_pulses_lie_between_samples_where_the_phase_is_whole():
    pulses, phase = glottal_pulses(steady(pitch_hz=np.full(N_STEPS, 101.0)), PLAIN, 16000, np.random.default_rng(0))
    for beat in np.arange(np.ceil(phase[0]) + 1, 50):
        expected = np.interp(beat, phase, np.arange(16000))
        near = np.arange(16) + round(expected) - 7
        assert np.sum(near * pulses[near]) / np.sum(pulses[near]) == pytest.approx(expected, abs=0.1)


def test_jitter_moves_pulses_and_shimmer_changes_their_heights():
    jittery, _ = glottal_pulses(steady(), replace(PLAIN, jitter=0.02), 16000, np.random.default_rng(0))
    periods = np.diff(scipy.signal.find_peaks(jittery, height=5)[0])
    assert 1.0 < periods.std() < 8.0 and periods.mean() == pytest.approx(160, abs=1)  # 0.02 · 160 · √2 = 4.5
    shimmery, _ = glottal_pulses(steady(), replace(PLAIN, shimmer=0.2), 16000, np.random.default_rng(0))
    heights = np.add.reduceat(shimmery, np.arange(0, 16000, 160))
    assert heights[1:-1].std() / heights[1:-1].mean() == pytest.approx(0.2, rel=0.3)


def test_silence_is_silent_and_breath_is_not():
    silent = steady(voicing=np.zeros(N_STEPS))
    assert np.abs(speak(silent, PLAIN, np.random.default_rng(0))).max() == 0
    flat = replace(PLAIN, breathiness=0.3)
    noisy = speak(steady(), flat, np.random.default_rng(0)) - speak(steady(), PLAIN, np.random.default_rng(0))
    assert noisy.std() > 0.01


def test_the_channel_keeps_length_and_adds_noise_at_its_snr(monkeypatch):
    monkeypatch.setattr(tract, "TILT_DB_PER_OCTAVE", 0.0)
    monkeypatch.setattr(tract, "RIPPLE_DB", 0.0)
    monkeypatch.setattr(tract, "SNR_DB", (20.0, 20.0))
    wave = np.sin(2 * np.pi * 2000 * np.arange(16000) / 16000)
    before = wave.copy()
    heard = send(wave, np.random.default_rng(0))
    assert heard.shape == wave.shape and np.array_equal(wave, before)
    inside = slice(500, -500)
    noise = heard[inside] - wave[inside] * (heard[inside] @ wave[inside]) / (wave[inside] @ wave[inside])
    assert 20 * np.log10(wave[inside].std() / noise.std()) == pytest.approx(20, abs=0.5)


def test_a_recording_lies_at_its_level(monkeypatch):
    monkeypatch.setattr(tract, "LEVEL_DB", (-20.0, -20.0))
    recorded = record(np.sin(0.5 * np.arange(16000)), np.random.default_rng(0))
    assert recorded.dtype == np.int16
    assert 20 * np.log10(recorded.astype(float).std() / 32767) == pytest.approx(-20, abs=0.05)


def test_utterances_are_functions_of_seed_speaker_and_number():
    wave, tracks = say_utterance(0, 1, 2)
    assert np.array_equal(wave, say_utterance(0, 1, 2)[0])
    assert len(wave) == len(tracks.phone) * 80 and 1.19 * 16000 <= len(wave) <= 2.51 * 16000
    for other in ((1, 1, 2), (0, 2, 2), (0, 1, 3)):
        again = say_utterance(*other)[0]
        assert len(again) != len(wave) or not np.array_equal(again, wave)


def test_a_word_lies_inside_its_second():
    word = ("s", "a", "m", "i")
    wave, tracks = say_word(0, 1, word, (0, 0))
    assert wave.shape == (16000,)
    spoken = tracks.phone[np.flatnonzero(np.diff(tracks.phone, prepend=-1))]
    assert [PHONE_NAMES[phone] for phone in spoken] == ["_", *word, "_"]
    assert not np.array_equal(wave, say_word(0, 1, word, (0, 1))[0])


def test_phones_of_a_plan_are_heard():
    voice = PLAIN
    rng = np.random.default_rng(0)
    tracks = plan_tracks(voice, ("_", "a", "s", "_"), np.array([0.2, 0.3, 0.3, 0.2]), rng)
    wave = speak(tracks, voice, rng)
    pieces = [wave[int(16000 * start) :][:2400] for start in (0.02, 0.28, 0.57)]  # pause, a, s
    power = [np.mean(piece**2) for piece in pieces]
    assert power[1] > power[2] > 100 * power[0]
    upper = [np.abs(np.fft.rfft(piece))[600:].sum() / np.abs(np.fft.rfft(piece)).sum() for piece in pieces[1:]]
    assert upper[1] > 3 * upper[0]  # above 4 kHz
