import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn import functional

from kit.competition.metrics import METRICS
from kit.training.checkpoint import load_model
from kit.training.finish import BaseSession, finish_prototypes
from kit.training.fit import fit
from kit.training.predict import embed, predict
from kit.training.views import LPCViews


def means(fitted, store, rows, experiment):
    """Class means by hand: each utterance alone, whole, in eval mode."""
    target = store.index["target"].to_numpy()[rows]
    z = np.stack([embed(fitted.model, store, [row], experiment, fitted.accelerator)[0] for row in rows])
    return torch.from_numpy(np.stack([z[target == number].mean(0) for number in range(6)]))


def test_prototypes_become_class_means_of_training_utterances(store, rows, tiny, tmp_path):
    experiment = tiny.but(views=LPCViews(), session=BaseSession(), loop__epochs=1)
    fitted = fit(experiment, store, *rows, tmp_path, progress=False)
    by_hand = means(fitted, store, rows[0], experiment)
    assert by_hand.shape == (6, 3, 16)
    for head, mean in zip((fitted.model.head, *fitted.model.view_heads.values()), by_hand.unbind(1), strict=True):
        torch.testing.assert_close(head.weight.detach(), mean, atol=1e-4, rtol=1e-4)


def test_a_plain_nets_too(store, rows, tiny, tmp_path):
    experiment = tiny.but(session=BaseSession(), loop__epochs=1)
    fitted = fit(experiment, store, *rows, tmp_path, progress=False)
    by_hand = means(fitted, store, rows[0], experiment)
    torch.testing.assert_close(fitted.model.head.weight.detach(), by_hand, atol=1e-4, rtol=1e-4)


def test_a_class_without_utterances_keeps_its_prototype(store, rows, tiny, tmp_path):
    target = store.index["target"].to_numpy()
    train = rows[0][target[rows[0]] != 2]
    plain, replaced = (
        fit(tiny.but(loop__epochs=1, session=session), store, train, rows[1], tmp_path / name, progress=False)
        for name, session in (("no", None), ("yes", BaseSession()))
    )
    same = (plain.model.head.weight == replaced.model.head.weight).all(1)
    assert same.tolist() == [False, False, True, False, False, False]


def test_the_views_prototypes_are_mixed_in_by_turns(store, rows, tiny, tmp_path):
    one, two = (
        fit(tiny.but(loop__epochs=1, views=LPCViews(prototypes=w)), store, *rows, tmp_path / str(w), progress=False)
        for w in (0.0, 0.25)
    )
    heads = (one.model.head, *one.model.view_heads.values())
    own, f, r = (functional.normalize(head.weight.detach()) for head in heads)
    by_hand = functional.normalize(0.75 * own + 0.25 * f)
    by_hand = functional.normalize(0.75 * by_hand + 0.25 * r)
    torch.testing.assert_close(two.model.head.weight.detach(), by_hand)


def test_the_checkpoint_and_the_score_are_the_finished_nets(store, rows, tiny, tmp_path):
    experiment = tiny.but(views=LPCViews(prototypes=0.1), session=BaseSession(), loop__ema_decay=0.9)
    for _ in range(2):  # the second time there is nothing left to train
        fitted = fit(experiment, store, *rows, tmp_path, progress=False)
        model, saved = load_model(tmp_path / "best.pt")
        target = store.index["target"].to_numpy()[rows[1]]
        score = METRICS["accuracy"](target, predict(model, store, rows[1], experiment, fitted.accelerator))
        assert score == saved["score"] == fitted.score
        weights = fitted.model.state_dict()
        assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
    assert len(pd.read_csv(tmp_path / "log.csv")) == 3
    last = torch.load(tmp_path / "last.pt", weights_only=True)["ema"]
    assert not torch.equal(last["head.weight"], model.head.weight)


def test_a_row_without_a_class_is_refused(store, rows, tiny, tmp_path):
    experiment = tiny.but(loop__epochs=1)
    fitted = fit(experiment, store, *rows, tmp_path, progress=False)
    with pytest.raises(ValueError, match="replace_prototypes must be False unless each training row has its one class"):
        finish_prototypes(fitted.model, store, [0, store.rows("test")[0]],
                          experiment.but(session=BaseSession()), fitted.accelerator)  # fmt: skip
