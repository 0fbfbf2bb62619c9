import hashlib

import numpy as np
import pandas as pd
import pytest
import soundfile

from kit.competition.competition import open_competition
from kit.competition.labels import known_matrix
from kit.demos.chorus_recordings import draw_microphone, labels_of_windows, make_clip, make_soundscape
from kit.demos.chorus_sites import SITES, lost_db, site_noise, through_the_forest
from kit.demos.chorus_tables import class_sizes, plan_clips, plan_soundscapes
from kit.demos.chorus_voices import WITHOUT_CLIPS, draw_voices
from kit.demos.dawn_chorus import make_dawn_chorus, rerun
from kit.demos.publish import DemoError
from kit.demos.soundscape import Call, draw_species

TINY = {"n_clips": 20, "n_unlabelled": 1, "n_labelled": 2, "n_hidden": 2, "seconds": 10.0}
RATE_HZ = 32000


@pytest.fixture(scope="module")
def chorus(tmp_path_factory):
    return make_dawn_chorus(tmp_path_factory.mktemp("data") / "chorus", **TINY)


def digests(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_the_folder_is_2026s(chorus):
    names = {path.name for path in chorus.iterdir()}
    assert names == {
        "train.csv", "taxonomy.csv", "train_audio", "train_soundscapes", "train_soundscapes_labels.csv",
        "test_soundscapes", "sample_submission.csv", "recording_location.txt", "hidden", "demo.json",
    }  # fmt: skip
    assert [path.name for path in (chorus / "test_soundscapes").iterdir()] == ["readme.txt"]
    train, taxonomy, sample = (
        pd.read_csv(chorus / f"{name}.csv", dtype=str, keep_default_na=False)
        for name in ("train", "taxonomy", "sample_submission")
    )
    assert ",".join(train.columns) == (
        "primary_label,secondary_labels,type,latitude,longitude,scientific_name,common_name,class_name,inat_taxon_id,"
        "author,license,rating,url,filename,collection"
    )
    assert ",".join(taxonomy.columns) == "primary_label,inat_taxon_id,scientific_name,common_name,class_name"
    assert taxonomy["primary_label"].tolist() == sorted(taxonomy["primary_label"]) == list(sample.columns[1:])
    assert len(sample) == 3 and sum(label.isdigit() for label in taxonomy["primary_label"]) == 5
    told = soundfile.info(min((chorus / "train_soundscapes").iterdir()))
    assert (told.samplerate, told.channels, told.duration, told.subtype) == (32000, 1, 10.0, "VORBIS")


def test_the_kit_opens_it(chorus):
    competition = open_competition(chorus)
    assert (competition.layout, len(competition.classes), len(competition.test)) == ("birdclef", 20, 3)
    assert (competition.test["fault"] != "").all() and len(competition.unlabelled) >= 2
    clips = competition.train[competition.train["source"] == "clip"]
    assert len(clips) == 20
    present = known_matrix(clips["label"], competition.classes) == 1
    assert {name for name, any_ in zip(competition.classes, present.any(0), strict=True) if not any_} == set(
        WITHOUT_CLIPS
    )
    assert any("1 clip shorter than 1 s" in note for note in competition.notes)


def test_the_second_run_has_the_test_and_its_truth(chorus, tmp_path):
    folder = rerun(chorus, tmp_path / "rerun")
    competition = open_competition(folder)
    assert len(competition.test) == 4 and (competition.test["fault"] == "").all()
    solution = competition.solution()
    assert solution["id"].tolist() == competition.test["id"].tolist()
    assert solution["usage"].value_counts().to_dict() == {"Public": 2, "Private": 2}
    assert not (folder / "hidden").exists() and rerun(chorus, tmp_path / "rerun") == folder
    assert digests(chorus / "train_audio") == digests(folder / "train_audio")
    assert len(pd.read_csv(chorus / "sample_submission.csv")) == 3  # what was linked was not written to
    with pytest.raises(DemoError, match="folder must hold a demo dawn chorus"):
        rerun(tmp_path, tmp_path / "no")


def test_truth_and_labels_are_of_the_calls(chorus):
    """Each label of a window has an audible call in it, and each audible call of 0.2 s in a window is a label."""
    competition = open_competition(rerun(chorus, chorus.with_name("again")))
    calls = pd.read_csv(chorus / "hidden" / "calls.csv", dtype={"label": str})
    solution = competition.solution().set_index("id")
    for row in competition.test.itertuples():
        here = calls[calls["filename"] == row.path.rpartition("/")[2]]
        inside = here["t_max"].clip(upper=row.end_seconds) - here["t_min"].clip(lower=row.start_seconds)
        heard = here[(here["level_db"] >= 0.06) & (inside > 0.21)]["label"]
        labels = {name for name in competition.classes if solution.loc[row.id, name]}
        assert set(heard) <= labels <= set(here[(here["level_db"] > -0.06) & (inside > 0)]["label"])
    assert solution[list(competition.classes)].to_numpy().sum() > 4


def test_the_same_call_makes_the_same_bytes(chorus, tmp_path):
    """By processes too, as the rainforest's test has it, for both are made in one way."""
    assert digests(make_dawn_chorus(tmp_path / "second", **TINY)) == digests(chorus)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_clips": 19}, "n_clips must be a whole number of at least 20, got 19"),
        ({"n_labelled": 0}, "n_labelled must be a whole number of at least 1, got 0"),
        ({"n_hidden": 1}, "n_hidden must be a whole number of at least 2, got 1"),
        ({"seconds": 12}, r"seconds must be whole windows of 5 s in \[10, 600\], got 12"),
        ({"seconds": 5}, r"seconds must be whole windows of 5 s in \[10, 600\], got 5"),
    ],
)
def test_bad_numbers_are_refused(tmp_path, change, message):
    with pytest.raises(DemoError, match=message):
        make_dawn_chorus(tmp_path / "no", **{**TINY, **change})
    assert not (tmp_path / "no").exists()


def test_classes_have_a_long_tail():
    sizes = class_sizes(200, 18)
    assert sizes.sum() == 200 and sizes.min() >= 1 and (np.diff(sizes) <= 1).all() and sizes[0] > 10 * sizes[-1]
    clips = plan_clips(0, 200)
    labels = [clip.label for clip in clips]
    assert not set(WITHOUT_CLIPS) & {name for clip in clips for name in (clip.label, *clip.secondary, *clip.unnamed)}
    assert len(set(labels)) == 18 and sum(bool(clip.secondary) for clip in clips) in range(15, 50)
    assert plan_clips(0, 200) == clips != plan_clips(1, 200)


def test_birds_are_the_rainforests_and_others_are_new():
    voices, forest = draw_voices(0), draw_species(0)
    assert len(voices) == 20 and [voice.label for voice in voices] == sorted(voice.label for voice in voices)
    assert sum(voice.species in forest for voice in voices) == 13
    for voice in voices:
        assert sum(voice.sites) == pytest.approx(1) and min(voice.sites) > 0
        assert voice.weight(0, voice.peak_hour) > 5 * voice.weight(0, voice.peak_hour + 12)


def test_soundscapes_of_all_sites_are_hidden_and_those_of_three_are_labelled():
    plan = plan_soundscapes(0, {"labelled": 12, "unlabelled": 40, "hidden": 24})
    sites = {part: {item.site for item in plan if item.part == part} for part in ("labelled", "unlabelled", "hidden")}
    assert sites == {"labelled": {0, 1, 2}, "unlabelled": {0, 1, 2, 3}, "hidden": {0, 1, 2, 3}}
    assert len({item.path for item in plan}) == 76


def test_windows_hold_the_audible_calls_that_reach_into_them():
    calls = [
        Call(3, 1.0, 2.0, 0, 0, 5.0),
        Call(4, 4.5, 6.0, 0, 0, 0.0),  # 0.5 s in the first window, 1 s in the second
        Call(5, 4.9, 6.0, 0, 0, 5.0),  # 0.1 s in the first: too little
        Call(6, 4.9, 5.0, 0, 0, 5.0),  # the whole of a short one
        Call(7, 7.0, 8.0, 0, 0, -0.1),  # too faint
    ]
    assert labels_of_windows(calls, 10.0) == [{3, 4, 6}, {4, 5}]


def test_far_calls_lose_more_and_high_ones_most():
    for site in SITES:
        assert lost_db(site, False, site.treble_hz, RATE_HZ) == pytest.approx(10 * np.log10(2))
        far, near, low = (lost_db(site, *case, RATE_HZ) for case in ((True, 3000.0), (False, 3000.0), (False, 300.0)))
        assert far > near > low
    click = np.zeros(2 * RATE_HZ, np.float32)
    click[0] = 1
    heard = through_the_forest(SITES[1], click, True, RATE_HZ, np.random.default_rng(0))
    power = np.abs(np.fft.rfft(heard)) ** 2
    hz = np.fft.rfftfreq(2 * RATE_HZ, 1 / RATE_HZ)
    low, high = (power[(hz > centre * 0.8) & (hz < centre * 1.25)].mean() for centre in (400, 8000))
    lost = lost_db(SITES[1], True, 8000.0, RATE_HZ) - lost_db(SITES[1], True, 400.0, RATE_HZ)
    assert 10 * np.log10(low / high) == pytest.approx(lost, abs=2)  # the echo's spectrum is random
    # By 60 dB in 1.4 s, so that of the echo's power the second half of a second has 10 ** (-6 * 0.5 / 1.4) = 0.7 %.
    late = np.sum(heard[RATE_HZ // 2 : RATE_HZ] ** 2) / np.sum(heard[100 : RATE_HZ // 2] ** 2)
    assert late == pytest.approx(10 ** (-6 * 0.5 / 1.4), rel=0.25)


@pytest.mark.parametrize("site", SITES, ids=lambda site: site.name)
def test_a_sites_noise_has_unit_power_and_its_own_spectrum(site):
    noise = site_noise(site, 10 * RATE_HZ, RATE_HZ, np.random.default_rng(0))
    assert noise.dtype == np.float32 and np.mean(noise**2) == pytest.approx(1, rel=1e-3)
    power, hz = np.abs(np.fft.rfft(noise)) ** 2, np.fft.rfftfreq(len(noise), 1 / RATE_HZ)

    def share(low, high):
        return power[(hz >= low) & (hz < high)].mean() / power[(hz >= 10000) & (hz < 12000)].mean()

    stream = power[(hz >= 800) & (hz < 3000)].sum() / power.sum()
    assert (stream > 0.4) == (site.name == "S03") and (stream < 0.2) == (site.name != "S03")
    assert (share(198, 204) > 1.5 * share(210, 240)) == (site.hum > 0)
    for centre in site.insects_hz:
        assert share(centre * 0.97, centre * 1.03) > 2 * share(centre * 1.15, centre * 1.25)


def test_species_stand_out_in_clips_and_less_in_soundscapes():
    """In the time of its calls there is more power in a class's band than in the rest of the recording's time."""
    soundscapes = [make_soundscape(0, take, take % 4, (6, 21)[take // 4 % 2], 10.0, RATE_HZ) for take in range(24)]
    heard = {}
    for wave, calls in soundscapes:
        for number in {call.species for call in calls if call.level_db > 3}:
            heard.setdefault(number, []).append(_gain_db(wave, calls, number))
    gains = {number: np.median(found) for number, found in heard.items() if len(found) > 1}
    assert len(gains) >= 10 and sum(gain > 1.5 for gain in gains.values()) >= 0.9 * len(gains)
    clips = {}
    for number in gains:
        label = draw_voices(0)[number].label
        clips[number] = _gain_db(*make_clip(0, number, label, (), 8.0, RATE_HZ, draw_microphone(0, number)), number)
    assert min(clips.values()) > 3
    assert np.mean([*clips.values()]) > np.mean([*gains.values()]) + 5  # which is what the jump costs


def _gain_db(wave, calls, number):
    mine = [call for call in calls if call.species == number]
    power = np.abs(np.fft.rfft(wave[: len(wave) // 3200 * 3200].reshape(-1, 3200) * np.hanning(3200))) ** 2
    hz, seconds = np.fft.rfftfreq(3200, 1 / RATE_HZ), (np.arange(len(power)) + 0.5) * 0.1
    band = power[:, (hz >= mine[0].f_min) & (hz <= mine[0].f_max)].sum(1)
    here = np.any([(seconds >= call.t_min) & (seconds <= call.t_max) for call in mine], axis=0)
    return 10 * np.log10(band[here].mean() / np.median(band[~here])) if here.any() and not here.all() else 0.0
