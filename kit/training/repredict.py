"""A finished run predicted once more, by the same nets in another way: what would that way gain?"""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from kit.data.store import Store
from kit.parts import part_name
from kit.training.checkpoint import load_model
from kit.training.fit import prepare_accelerator
from kit.training.fold import class_shares, fill_with_priors
from kit.training.identity import rebuilt, trained_by
from kit.training.predict import predict
from kit.training.runs import Run


def repredicted(run: Run, store: Store, way: Any, *, trust: bool = False) -> tuple[Run, pd.DataFrame]:
    """The run under the name <name>-<way>, and its test table, with each fold's net predicting by another part.

    `difference(repredicted(run, store, way)[0], run)` tells what it gains. Raises ValueError where the run was trained
    on other data than the store's.
    """
    row_of = pd.Series(np.arange(len(store.index)), index=store.index["id"])
    oof, tests, classes = [], [], list(store.classes)
    for fold, table in run.oof.groupby("fold", sort=False):
        folder = run.folder / f"fold{fold}"
        if not store.holds(data := trained_by(folder)[-1]["data"]):
            raise ValueError(f"{folder}: was trained on other data (store {data}, not {store.folder.name})")
        model, saved = load_model(folder / "best.pt", trust=trust)
        experiment = rebuilt(saved["experiment"], run.folder / "sources", trust=trust).but(predict=way)
        accelerator = prepare_accelerator(experiment.loop.precision)
        model.to(accelerator.device)
        held_out, test = row_of.loc[table["id"]].to_numpy(), row_of.loc[run.test["id"]].to_numpy()
        probability = predict(model, store, held_out, experiment, accelerator)
        oof.append(table.assign(**dict(zip(classes, probability.T, strict=True))))
        others = np.setdiff1d(store.rows("train"), held_out)
        probability = predict(model, store, test, experiment, accelerator)
        tests.append(fill_with_priors(probability, class_shares(store.targets(others), len(classes))))
    oof = pd.concat(oof).loc[run.oof.index]
    test = run.test.assign(**dict(zip(classes, np.mean(tests, axis=0).T, strict=True)))
    name = part_name(way)
    told = {**run.experiment, "name": f"{run.experiment['name']}-{name}"}
    return replace(run, name=f"{run.name}-{name}", experiment=told, oof=oof, folder=None), test
