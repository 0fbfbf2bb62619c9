"""What a fold keeps: copies of the best weights by the metric's direction, and files that tell when they are broken."""

import pandas as pd
import pytest
import torch

from kit.competition.metrics import METRICS, Metric
from kit.training import fit as fit_module
from kit.training.checkpoint import Progress, average_weights, keep_best, load_model
from kit.training.crossval import crossval
from kit.training.fit import fit
from kit.training.loop import Loop
from kit.training.predict import predict
from kit.training.schedules import WarmupConstant


def test_average_weights_by_hand():
    states = [
        {"w": torch.tensor([1.0, 2.0]), "n": torch.tensor(3)},
        {"w": torch.tensor([3.0, 6.0]), "n": torch.tensor(9)},
    ]
    mean = average_weights(states)
    assert mean["w"].tolist() == [2, 4] and mean["n"].item() == 3


def kept(scores, loop, metric):
    """The scores and epochs that are kept, and validations since the best, after each validation."""
    state, net = Progress(), torch.nn.Linear(1, 1)
    for score in scores:
        with torch.no_grad():
            net.weight.fill_(score)
        keep_best(state, {"valid_score": score}, net, loop, metric)
    assert [weights["weight"].item() for *_, weights in state.best] == pytest.approx([one[0] for one in state.best])
    return [(score, epoch) for score, epoch, _ in state.best], state.stale


@pytest.mark.parametrize(
    ("metric", "best", "stale"),
    [("accuracy", [(0.5, 2), (0.4, 5), (0.3, 1)], 4), ("log_loss", [(0.1, 3), (0.1, 6), (0.2, 4)], 3)],
)
def test_the_best_are_kept_best_first_by_the_metrics_direction(metric, best, stale):
    found = kept([0.3, 0.5, 0.1, 0.2, 0.4, 0.1], Loop(average_best=3), METRICS[metric])
    assert found == (best, stale)


def test_the_last_alone_is_kept_where_that_is_asked():
    assert kept([0.3, 0.5, 0.1], Loop(keep="last"), METRICS["accuracy"]) == ([(0.1, 3)], 0)


def test_the_average_of_the_best_epochs(store, rows, tiny, tmp_path, monkeypatch):
    states, keep, told = [], fit_module.keep_best, iter([0.1, 0.3, 0.2, 0.25])
    monkeypatch.setattr(fit_module, "keep_best", lambda state, *rest: (keep(state, *rest), states.append(state.best)))
    experiment = tiny.but(loop__average_best=2)
    fitted = fit(
        experiment, store, *rows, tmp_path, metric=Metric(lambda target, probability: next(told)), progress=False
    )
    assert [epoch for _, epoch, _ in states[-1]] == [2, 3] and fitted.score == 0.25
    name = "head.weight"
    mean = (states[-1][0][2][name] + states[-1][1][2][name]) / 2
    assert torch.equal(fitted.model.state_dict()[name], mean)
    assert torch.equal(torch.load(tmp_path / "best.pt", weights_only=True)["model"][name], mean)


@pytest.mark.parametrize("metric", ["accuracy", "log_loss"])
def test_crossvals_predictions_are_the_best_epochs_and_not_the_last(voices, store, tiny, tmp_path, metric):
    """Fails where the weights that are kept are an alias of the live ones, which go on changing."""
    experiment = tiny.but(loop__epochs=8, optimizer__lr=0.02, schedule=WarmupConstant(4), metric=METRICS[metric])
    (run,) = crossval(experiment, voices, tmp_path, cache=tmp_path, folds=(0,), n_jobs=1, threads=1, progress=False)
    log = pd.read_csv(run.folder / "fold0/log.csv")
    best = log["valid_score"].idxmax() if metric == "accuracy" else log["valid_score"].idxmin()
    assert best < len(log) - 1, "the test needs a best epoch that is not the last"
    assert log["valid_score"].iloc[-1] != log["valid_score"][best]
    assert run.score == METRICS[metric](run.target, run.probability) == pytest.approx(log["valid_score"][best])
    last = torch.load(run.folder / "fold0/last.pt", weights_only=True)["model"]
    model, saved = load_model(run.folder / "fold0/best.pt")
    assert saved["epoch"] == best + 1 and saved["score"] == pytest.approx(run.score)
    assert any(not torch.equal(value, last[name]) for name, value in model.state_dict().items())
    # The test part's predictions as well, which no score tells of.
    accelerator = fit_module.prepare_accelerator("auto")
    test = predict(model, store, store.rows("test"), experiment, accelerator)
    assert run.test[run.classes].to_numpy() == pytest.approx(test, abs=1e-5)
    model.load_state_dict(last)
    of_the_last = predict(model, store, store.rows("test"), experiment, accelerator)
    assert run.test[run.classes].to_numpy() != pytest.approx(of_the_last, abs=1e-2)


def test_another_experiment_does_not_go_on_with_a_run(store, rows, tiny, tmp_path):
    fit(tiny.but(loop__epochs=1), store, *rows, tmp_path, progress=False)
    with pytest.raises(ValueError, match=r"last.pt: was trained as another experiment \(loop__epochs 1 -> 2\)"):
        fit(tiny.but(loop__epochs=2), store, *rows, tmp_path, progress=False)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.999])
def test_a_checkpoint_cut_short_is_named(store, rows, tiny, tmp_path, share):
    fit(tiny.but(loop__epochs=1), store, *rows, tmp_path, progress=False)
    content = (tmp_path / "last.pt").read_bytes()
    (tmp_path / "last.pt").write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ValueError, match="last.pt: not a whole checkpoint; delete it, and the fold starts anew"):
        fit(tiny.but(loop__epochs=1), store, *rows, tmp_path, progress=False)
