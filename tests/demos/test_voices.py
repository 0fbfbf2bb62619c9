from dataclasses import replace

import numpy as np
import pytest

from kit.demos.voices import (
    CODAS,
    N_RESONATORS,
    ONSETS,
    PHONE_NAMES,
    PHONES,
    VOWELS,
    Tracks,
    draw_phones,
    draw_seconds,
    draw_take,
    draw_voice,
    plan_tracks,
    truth_at,
)


def rng(seed=0):
    return np.random.default_rng(seed)


def plan(phones, seconds, seed=0):
    voice = draw_voice(rng(seed))
    return voice, plan_tracks(voice, phones, np.array(seconds), rng(seed))


def test_truth_is_read_at_the_moments_asked_for():
    line = np.arange(100.0)  # steps of 5 ms, each exact in its middle: value k at 0.005 k + 0.0025 s
    tracks = Tracks(
        **dict.fromkeys(["frication", "frication_hz", "frication_width_hz", "nasal_zero_hz"], line),
        formants_hz=np.tile(line[:, None], 8),
        bandwidths_hz=np.tile(line[:, None], 8),
        pitch_hz=line,
        voicing=(line > 50).astype(float),
        phone=(line >= 4).astype(int),
    )
    truth = truth_at(tracks, np.array([0.0125, 0.0199, 0.0201, 0.3125, 0.5]))
    np.testing.assert_allclose(truth["formants_hz"][:, 0], [2.0, 3.48, 3.52, 62.0, 99.0], rtol=1e-5)
    assert truth["formants_hz"].shape == (5, 4)
    assert truth["phone"].tolist() == [0, 0, 1, 1, 1]  # the second phone starts at 20 ms
    assert truth["voiced"].tolist() == [False, False, False, True, True]
    assert truth["pitch_hz"].tolist() == [0, 0, 0, 62.0, 99.0]


def test_a_long_vowel_reaches_its_target():
    voice, tracks = plan(("_", "i", "_"), [0.2, 0.4, 0.2])
    target = np.array(PHONES["i"].formants_hz) * voice.idiolect[PHONE_NAMES.index("i")]
    ratio = tracks.formants_hz[80, :4] / (target * voice.scale * voice.offsets[:4])
    assert (np.abs(np.log(ratio)) < 0.15).all()  # what is left is the token's own 3 %
    assert tracks.voicing[80] == pytest.approx(1.0) and tracks.voicing[10] == pytest.approx(0.0)
    assert tracks.frication.max() == 0


def test_a_scale_of_1_2_raises_every_formant_by_a_fifth_and_nothing_else():
    voice = draw_voice(rng())
    voices = replace(voice, scale=1.0), replace(voice, scale=1.2)
    low, high = (plan_tracks(each, ("a", "i"), np.array([0.2, 0.2]), rng()) for each in voices)
    np.testing.assert_allclose(high.formants_hz[:, :4], 1.2 * low.formants_hz[:, :4])
    np.testing.assert_allclose(high.pitch_hz, low.pitch_hz)


def test_tracks_last_as_long_as_their_phones_and_label_them():
    _, tracks = plan(("_", "s", "a", "_"), [0.1, 0.05, 0.2, 0.15])
    counts = [(tracks.phone == PHONE_NAMES.index(name)).sum() for name in ("s", "a", "_")]
    assert counts == [10, 40, 50]  # in steps of 5 ms
    assert tracks.seconds[0] == 0.0025 and tracks.seconds[-1] == pytest.approx(0.4975)


def test_formants_move_without_jumps_and_stay_apart():
    _, tracks = plan(("_", "i", "w", "a", "j", "u", "_"), [0.1, 0.15, 0.08, 0.15, 0.08, 0.15, 0.1])
    assert tracks.formants_hz.shape == tracks.bandwidths_hz.shape == (162, N_RESONATORS)
    assert np.abs(np.diff(tracks.formants_hz[:, 1])).max() < 500  # Hz in 5 ms; from i to w lie 1700
    assert (tracks.formants_hz[:, :4] < 6000).all() and (tracks.formants_hz < 8000).all()
    assert (np.diff(tracks.formants_hz[:, :4], axis=1) > 0).all()


def test_only_the_nasal_moves_the_nasal_zero_and_only_the_fricative_hisses():
    _, tracks = plan(("a", "n", "a", "s", "a"), [0.2] * 5)
    assert tracks.nasal_zero_hz[20] == pytest.approx(270) and tracks.nasal_zero_hz[60] == pytest.approx(1600)
    assert tracks.frication[60] == 0 and tracks.frication[140] == pytest.approx(PHONES["s"].frication)


def test_shorter_tracts_go_with_higher_voices():
    voices = [draw_voice(rng(seed)) for seed in range(300)]
    scale, pitch_hz = np.log([voice.scale for voice in voices]), np.log([voice.pitch_hz for voice in voices])
    assert np.corrcoef(scale, pitch_hz)[0, 1] > 0.6
    assert np.exp(pitch_hz.min()) > 60 and np.exp(pitch_hz.max()) < 400


def test_takes_vary_less_than_speakers():
    voice = draw_voice(rng())
    takes = np.std([np.log(draw_take(voice, rng(seed)).scale) for seed in range(200)])
    speakers = np.std([np.log(draw_voice(rng(seed)).scale) for seed in range(200)])
    assert takes == pytest.approx(0.015, rel=0.2) and speakers > 3 * takes


def test_the_same_generator_state_gives_the_same_voice_phones_and_lengths():
    assert draw_voice(rng(3)).pitch_hz == draw_voice(rng(3)).pitch_hz != draw_voice(rng(4)).pitch_hz
    assert draw_phones(rng(3), 6) == draw_phones(rng(3), 6) != draw_phones(rng(4), 6)


def test_phones_are_syllables_between_pauses():
    for seed in range(20):
        phones = draw_phones(rng(seed), n_syllables=6)
        assert phones[0] == phones[-1] == "_"
        assert sum(name in VOWELS for name in phones) == 6
        assert set(phones) <= set(PHONE_NAMES)
    assert not set(VOWELS) & set(ONSETS) and set(CODAS) <= set(ONSETS)


def test_a_quick_speaker_is_quick_and_vowels_outlast_glides():
    voice = draw_voice(rng())
    quick = draw_seconds(replace(voice, pace=2.0), ("a", "w"), rng())
    slow = draw_seconds(replace(voice, pace=1.0), ("a", "w"), rng())
    np.testing.assert_allclose(slow, 2 * quick)
    assert np.mean([draw_seconds(voice, ("a", "w"), rng(seed)) @ [1, -1] for seed in range(50)]) > 0.03
