import numpy as np
import pytest

from kit.demos.soundscape import N_SPECIES, draw_species, make_noise, make_recording, sing

RATE_HZ = 32000


def band_share(wave, low, high):
    power = np.abs(np.fft.rfft(wave)) ** 2
    hz = np.fft.rfftfreq(len(wave), 1 / RATE_HZ)
    return power[(hz >= low) & (hz <= high)].sum() / power.sum()


def test_species_differ_and_two_share_each_band():
    forest = draw_species(0)
    assert len(set(forest)) == N_SPECIES == 24
    centres = sorted(np.sqrt(species.low_hz * species.high_hz) for species in forest)
    assert centres[::2] == pytest.approx(centres[1::2])
    for species in forest:
        alike = [other for other in forest if other is not species and other.low_hz < species.high_hz
                 and species.low_hz < other.high_hz]  # fmt: skip
        assert all(other.sweep != species.sweep or other.notes != species.notes or
                   other.note_seconds != species.note_seconds for other in alike)  # fmt: skip
    assert draw_species(0) == forest != draw_species(1)


@pytest.mark.parametrize("number", [0, 7, 15, 23])
def test_a_call_stays_in_its_band_and_is_never_the_same(number):
    species = draw_species(0)[number]
    first, second = (sing(species, RATE_HZ, np.random.default_rng(seed)) for seed in (0, 1))
    assert band_share(first, 0.93 * species.low_hz, 1.07 * species.high_hz) > 0.95
    assert len(first) != len(second) or not np.allclose(first, second)


def test_a_sweep_rises_where_it_should():
    for species in draw_species(0):
        if species.sweep == "rise" and not species.trill_hz and species.note_seconds > 0.2:
            note = sing(species, RATE_HZ, np.random.default_rng(0))[: int(0.25 * species.note_seconds * RATE_HZ)]
            middle = np.sqrt(species.low_hz * species.high_hz)
            assert band_share(note, 0.9 * species.low_hz, middle) > 0.9


def test_noise_has_unit_power():
    assert np.mean(make_noise(RATE_HZ, RATE_HZ, np.random.default_rng(0)) ** 2) == pytest.approx(1)


def test_boxes_hold_the_energy_that_a_call_adds():
    """In a call's box and band there is more power than in the same band before and after it."""
    louder = []
    for number in range(12):
        wave, calls, _ = make_recording(0, number, 6.0, RATE_HZ)
        for call in calls:
            inside = slice(int(call.t_min * RATE_HZ), int(call.t_max * RATE_HZ))
            others = [other for other in calls if other is not call and other.f_min < call.f_max
                      and call.f_min < other.f_max]  # fmt: skip
            if call.level_db > 5 and not others:
                power = [np.mean(wave[part].astype(float) ** 2) * band_share(wave[part], call.f_min, call.f_max)
                         for part in (inside, slice(None))]  # fmt: skip
                louder.append(power[0] > power[1])
    assert len(louder) > 3 and all(louder)


def test_the_detector_is_right_about_what_is_there_and_misses_much():
    true = false = present = 0
    for number in range(30):
        wave, calls, hits = make_recording(0, number, 6.0, RATE_HZ)
        assert wave.dtype == np.int16 and len(wave) == 6 * RATE_HZ
        there = {call.species for call in calls}
        assert all((hit.species in there) == right for hit, right in hits)
        assert all(0 <= hit.t_min < hit.t_max <= 6 for hit, _ in hits)
        named = [hit.species for hit, _ in hits]
        assert len(named) == len(set(named))
        true += sum(right for _, right in hits)
        false += sum(not right for _, right in hits)
        present += len(there)
    assert 0.25 * present < true < 0.75 * present and false > true


def test_a_recording_is_a_function_of_seed_and_number():
    first, calls, hits = make_recording(3, 5, 6.0, RATE_HZ)
    again, same_calls, same_hits = make_recording(3, 5, 6.0, RATE_HZ)
    assert np.array_equal(first, again) and calls == same_calls and len(hits) == len(same_hits)
    assert not np.array_equal(first, make_recording(3, 6, 6.0, RATE_HZ)[0])
