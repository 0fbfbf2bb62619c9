"""Notebook 01's tables: levels of known waves, the log-mel that files hold, means, neighbours."""

from dataclasses import replace

import numpy as np
import pytest
import soundfile
from scipy.spatial.distance import cdist

from kit.competition.competition import open_competition
from kit.data.features import LogMel
from kit.data.inspect import Suspicion
from kit.data.store import pack
from kit.studies import first_look


@pytest.fixture(scope="module")
def store(voices, tmp_path_factory):
    return pack(voices, tmp_path_factory.mktemp("cache"), progress=False)


def test_levels_of_a_wave_that_is_half_silent_and_clips_once():
    wave = np.zeros(1600, np.float32)
    wave[:800] = np.tile([0.5, -0.5], 400)  # two blocks of 400 at -6.02 dB, then two silent ones
    wave[5] = 1.0
    loudness, silent, clipped = first_look.wave_levels(wave, 16000)
    assert loudness == pytest.approx(10 * np.log10((799 * 0.25 + 1) / 1600))
    assert (silent, clipped) == (50.0, 100 / 1600)
    assert first_look.wave_levels(np.zeros(10, np.float32), 16000) == (-120.0, 100.0, 0.0)


def test_the_overview_counts_what_there_is(voices, store):
    found = first_look.overview(voices, store).set_index("split")
    assert found["utterances"].tolist() == [48, 18] and found.loc["train", "sample rates"] == "16 kHz (48)"
    frames = store.index["frames"].iloc[store.rows("train")]
    assert found.loc["train", "median (s)"] == f"{frames.median() * 0.01:.2f}"
    assert found.loc["train", "groups"] == "none named"
    grouped = replace(voices, train=voices.train.assign(group=voices.train["label"]))
    assert first_look.overview(grouped, store)["groups"].tolist() == [6, "none named"]


def test_levels_are_of_both_parts_and_told_by_split(voices):
    table = first_look.levels(voices, most=4)
    assert table["split"].tolist() == ["train"] * 4 + ["test"] * 4
    wave = soundfile.read(voices.folder / table["file"][0])[0]
    assert table["loudness (dB)"][0] == pytest.approx(10 * np.log10(np.square(wave).mean()), abs=1e-3)
    told = first_look.levels_table(table)
    assert told["files opened"].tolist() == [4, 4]
    assert told["loudness (dB) [middle 90 %]"][0].startswith(f"{table['loudness (dB)'][:4].median():.1f} [")


def test_a_folder_without_audio_has_no_levels_and_no_frequencies(voices, store):
    silent = replace(voices, train=voices.train.drop(columns="audio"), test=voices.test.drop(columns="audio"))
    assert first_look.levels(silent) is None and first_look.mel_of_files(silent, store) is None
    assert first_look.overview(silent, store)["sample rates"].tolist() == ["no audio"] * 2


def test_what_the_files_bins_are_of_is_tried_on_the_audio(voices, store):
    assert first_look.mel_of_files(voices, store) == LogMel()
    other = replace(store, features=store.features + 0.5)
    assert first_look.mel_of_files(voices, other) is None


def test_examples_are_one_a_class_from_all_over_the_list(voices):
    found = first_look.class_examples(voices, most=3)
    assert found["label"].tolist() == ["id00000", "id00002", "id00005"]
    assert voices.train["label"].iloc[found["row"]].tolist() == found["label"].tolist()
    assert len(first_look.class_examples(voices, most=99)) == 6


def test_class_means_are_of_the_rows_summaries(store):
    means, rows, facts = first_look.class_means(store)
    assert means.shape == (6, 40) and facts.shape == (48, 80) and rows.tolist() == list(range(48))
    own = [store.recording(row).mean(0).numpy() for row in range(48) if store.index["label"][row] == "id00003"]
    assert means.loc["id00003"].to_numpy() == pytest.approx(np.mean(own, axis=0), rel=1e-5)


def test_neighbours_are_the_nearest_others():
    rng = np.random.default_rng(0)
    facts, labels = rng.normal(size=(60, 5)), np.array(list("aabbcc") * 10)
    alike, chance = first_look.neighbours_alike(facts, labels)
    distance = cdist(facts / facts.std(0), facts / facts.std(0)) + 1e9 * np.eye(60)
    assert alike == pytest.approx((labels[distance.argmin(1)] == labels).mean())
    assert chance == pytest.approx(19 / 59)


def test_a_map_keeps_what_is_near_together():
    rng = np.random.default_rng(0)
    facts = rng.normal(size=(30, 4)) + 20 * (np.arange(30) >= 15)[:, None]
    points = first_look.map_of(facts)
    assert points.shape == (30, 2)
    distance = cdist(points, points) + 1e9 * np.eye(30)
    assert ((distance.argmin(1) >= 15) == (np.arange(30) >= 15)).all()


def test_a_suspicion_is_told_by_its_p():
    found = first_look.suspicions(
        {"leak": Suspicion(0.9, 0.1, 0.2, 0.01), "none": Suspicion(0.1, 0.1, 0.2, 0.8), "few": Suspicion(*[np.nan] * 4)}
    )
    assert found["verdict"].tolist() == ["look closer", "no suspicion", ""]
    assert found.iloc[0].tolist() == ["leak", "0.900", "0.100 to 0.200", "0.010", "look closer"]
    assert found["score"][2] == "too few rows"


def test_a_table_of_audio_is_looked_at_likewise(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "train").mkdir()
    (tmp_path / "test").mkdir()
    rows = [f"{k}.wav,{'ab'[k % 2]}" for k in range(6)]
    for k in range(8):
        part = "train" if k < 6 else "test"
        soundfile.write(tmp_path / part / f"{k}.wav", 0.1 * rng.standard_normal(8000), 8000 if k == 1 else 16000)
    (tmp_path / "train.csv").write_text("\n".join(["file,label", *rows]) + "\n")
    (tmp_path / "sample_submission.csv").write_text("file,label\n6.wav,a\n7.wav,a\n")
    competition = open_competition(tmp_path)
    store = pack(competition, tmp_path / "cache", progress=False)
    assert first_look.overview(competition, store)["sample rates"].tolist() == ["16 kHz (5), 8 kHz (1)", "16 kHz (2)"]
    assert len(first_look.levels(competition)) == 8 and first_look.mel_of_files(competition, store) == store.mel
