import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from kit.competition.folds import make_folds
from kit.competition.metrics import METRICS
from kit.data.augment import SpecAugment
from kit.data.image_augment import ImageAugment
from kit.training import fit as fit_module
from kit.training import loader as loader_module
from kit.training import step as step_module
from kit.training.checkpoint import average_weights, load_model
from kit.training.faults import DeviceMemoryError
from kit.training.fit import DivergedError, fit, learning_rate
from kit.training.losses import classification_loss
from kit.training.predict import predict
from kit.training.presets import image_config
from kit.training.step import TrainStep


@pytest.fixture
def rows(store):
    train = store.rows("train")
    folds = make_folds(store.index.iloc[train], 2)
    return train[folds != 0], train[folds == 0]


def test_learning_rate_by_hand(tiny):
    config = replace(tiny, lr=1.0, warmup_steps=10)
    rates = [learning_rate(config, step, 110) for step in (0, 4, 9, 10, 60, 109)]
    assert rates == pytest.approx([0.1, 0.5, 1.0, 1.0, 0.5, 0.5 * (1 + math.cos(math.pi * 0.99))])
    assert learning_rate(replace(config, warmup_steps=0), 0, 10) == 1.0


def test_average_weights_by_hand():
    states = [
        {"w": torch.tensor([1.0, 2.0]), "n": torch.tensor(3)},
        {"w": torch.tensor([3.0, 6.0]), "n": torch.tensor(9)},
    ]
    mean = average_weights(states)
    assert mean["w"].tolist() == [2, 4] and mean["n"].item() == 3


def test_loss_by_hand():
    logits = torch.log(torch.tensor([[0.7, 0.2, 0.1]]))
    assert classification_loss(logits, torch.tensor([1])).item() == pytest.approx(-math.log(0.2))
    soft = torch.tensor([[0.5, 0.5, 0.0]])
    assert classification_loss(logits, soft).item() == pytest.approx(-0.5 * math.log(0.7) - 0.5 * math.log(0.2))
    smooth = classification_loss(logits, torch.tensor([0]), label_smoothing=0.3).item()
    assert smooth == pytest.approx(-0.7 * math.log(0.7) - 0.1 * math.log(0.7 * 0.2 * 0.1))


def test_training_learns_and_logs_a_row_an_epoch(store, rows, tiny, tmp_path):
    config = replace(tiny, epochs=40, patience=40, time_masks=0, freq_masks=0, head="linear")
    fit(config, store, *rows, tmp_path, progress=False)
    log = pd.read_csv(tmp_path / "log.csv")
    assert log["epoch"].tolist() == list(range(1, len(log) + 1))
    assert list(log.columns) == ["epoch", "step", "lr", "loss", "train_accuracy", "valid_score", "valid_loss"]
    assert log["loss"].iloc[-1] < 0.8 * log["loss"].iloc[0]
    assert log["train_accuracy"].iloc[-1] > 0.6  # chance is 1 in 6


def test_batches_of_workers_train_to_the_same_bits(store, rows, tiny, tmp_path):
    for workers in (0, 2):
        fit(replace(tiny, epochs=2, workers=workers), store, *rows, tmp_path / str(workers), progress=False)
    assert (tmp_path / "2/log.csv").read_text() == (tmp_path / "0/log.csv").read_text()


def test_the_best_checkpoint_scores_what_the_log_says(store, rows, tiny, tmp_path):
    """Fails where the best weights are an alias of the live ones, which go on changing."""
    config = replace(tiny, epochs=8, lr=0.02)
    fitted = fit(config, store, *rows, tmp_path, progress=False)
    log = pd.read_csv(tmp_path / "log.csv")
    best = log["valid_score"].idxmax()
    assert best < len(log) - 1, "the test needs a best epoch that is not the last"
    model, saved = load_model(tmp_path / "best.pt")
    target = store.index["target"].to_numpy()[rows[1]]
    again = METRICS["accuracy"](target, predict(model, store, rows[1], config, fitted.accelerator))
    assert again == saved["score"] == fitted.score == log["valid_score"][best]
    assert saved["epoch"] == fitted.epoch == best + 1
    last = torch.load(tmp_path / "last.pt", weights_only=True)["model"]
    assert any(not torch.equal(value, last[name]) for name, value in model.state_dict().items())


def scripted(monkeypatch, scores):
    """The validations score these, one after another."""
    told = iter(scores)
    monkeypatch.setitem(fit_module.METRICS, "accuracy", lambda target, probability: next(told))


def test_early_stopping_counts_validations_without_a_better_score(store, rows, tiny, tmp_path, monkeypatch):
    scripted(monkeypatch, [0.1, 0.3, 0.2, 0.3, 0.9])  # an equal score is no better one
    fitted = fit(replace(tiny, epochs=5, patience=2), store, *rows, tmp_path, progress=False)
    assert (fitted.score, fitted.epoch) == (0.3, 2)
    assert len(pd.read_csv(tmp_path / "log.csv")) == 4


def test_the_average_of_the_best_epochs(store, rows, tiny, tmp_path, monkeypatch):
    kept = []
    keep = fit_module.keep_best
    monkeypatch.setattr(
        fit_module, "keep_best", lambda state, *rest: (keep(state, *rest), kept.append(list(state.best)))
    )
    scripted(monkeypatch, [0.1, 0.3, 0.2, 0.25])
    fitted = fit(replace(tiny, epochs=3, average_best=2), store, *rows, tmp_path, progress=False)
    assert [epoch for _, epoch, _ in kept[-1]] == [2, 3] and fitted.score == 0.25
    name = "head.weight"
    mean = (kept[-1][0][2][name] + kept[-1][1][2][name]) / 2
    assert torch.equal(fitted.model.state_dict()[name], mean)
    assert torch.equal(torch.load(tmp_path / "best.pt", weights_only=True)["model"][name], mean)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_no_number_names_step_and_rate(store, rows, tiny, tmp_path, monkeypatch, bad):
    calls = []

    def loss(logits, target, label_smoothing):
        calls.append(1)
        return classification_loss(logits, target) * (bad if len(calls) == 5 else 1)

    monkeypatch.setattr(step_module, "classification_loss", loss)
    with pytest.raises(DivergedError, match=rf"the loss is {bad} at step 5, learning rate \d\.\d\de-03: lower lr"):
        fit(tiny, store, *rows, tmp_path, progress=False)


def test_the_logged_accuracy_has_no_margin(store, rows, tiny, tmp_path, monkeypatch):
    """With the margin in it, an item right by less than the margin would count as wrong."""
    seen = []
    forward = TrainStep._forward
    monkeypatch.setattr(TrainStep, "_forward", lambda *arguments: seen.append(forward(*arguments)) or seen[-1])
    fit(replace(tiny, epochs=1, margin=0.9, margin_warmup_steps=0), store, *rows, tmp_path, progress=False)
    spread = torch.cat([logits.detach() for _, logits in seen])
    assert spread.abs().max() <= 30.0001  # s·cos, and not s·(cos - m), which reaches -57
    assert pd.read_csv(tmp_path / "log.csv")["train_accuracy"][0] > 0


def test_the_moving_average_is_what_is_validated_and_kept(store, rows, tiny, tmp_path):
    config = replace(tiny, ema_decay=0.9)
    fitted = fit(config, store, *rows, tmp_path, progress=False)
    saved = torch.load(tmp_path / "last.pt", weights_only=True)
    assert not torch.equal(saved["ema"]["head.weight"], saved["model"]["head.weight"])
    target = store.index["target"].to_numpy()[rows[1]]
    score = METRICS["accuracy"](target, predict(fitted.model, store, rows[1], config, fitted.accelerator))
    assert score == fitted.score


def test_another_config_does_not_go_on_with_a_run(store, rows, tiny, tmp_path):
    fit(replace(tiny, epochs=1), store, *rows, tmp_path, progress=False)
    with pytest.raises(ValueError, match=r"last.pt: was trained with another config \(epochs 1 -> 2\)"):
        fit(replace(tiny, epochs=2), store, *rows, tmp_path, progress=False)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.999])
def test_a_checkpoint_cut_short_is_named(store, rows, tiny, tmp_path, share):
    fit(replace(tiny, epochs=1), store, *rows, tmp_path, progress=False)
    content = (tmp_path / "last.pt").read_bytes()
    (tmp_path / "last.pt").write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ValueError, match="last.pt: not a whole checkpoint; delete it, and the fold starts anew"):
        fit(replace(tiny, epochs=1), store, *rows, tmp_path, progress=False)


def holding(monkeypatch, most_items, most_frames=10**9):
    """A device that holds so many items of a training batch, and so many frames of another."""
    build = fit_module.build_model

    def check(model, arguments):
        items, frames = arguments[0].shape[:2]
        if items > most_items if model.training else items * frames > most_frames:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.\nGPU 0 has ...")

    def built(*arguments):
        model = build(*arguments)
        model.register_forward_pre_hook(check)
        return model

    monkeypatch.setattr(fit_module, "build_model", built)


def test_a_device_without_memory_proposes_a_batch_that_fits(store, rows, tiny, tmp_path, monkeypatch):
    holding(monkeypatch, most_items=4)
    with pytest.raises(DeviceMemoryError, match="^the device has no memory for batch_size 8: try batch_size 4, under"):
        fit(tiny, store, *rows, tmp_path / "eight", progress=False)
    assert not (tmp_path / "eight").exists()
    fit(replace(tiny, epochs=1, batch_size=4), store, *rows, tmp_path / "four", progress=False)
    holding(monkeypatch, most_items=0)
    with pytest.raises(DeviceMemoryError, match="batch_size 1: a smaller net or crop is needed$"):
        fit(replace(tiny, batch_size=1, conv_norm="group"), store, *rows, tmp_path / "one", progress=False)


def test_a_device_without_memory_for_a_validation(store, rows, tiny, tmp_path, monkeypatch):
    longest = int(store.index["frames"].max())
    holding(monkeypatch, most_items=8, most_frames=longest)
    config = replace(tiny, epochs=1, eval_frames=2 * longest)
    with pytest.raises(DeviceMemoryError, match=f"no memory for eval_frames {2 * longest}: try eval_frames {longest},"):
        fit(config, store, *rows, tmp_path / "twice", progress=False)
    fit(replace(config, eval_frames=longest), store, *rows, tmp_path / "once", progress=False)


def test_predictions_keep_the_order_of_the_rows(store, rows, tiny, tmp_path):
    fitted = fit(replace(tiny, epochs=1), store, *rows, tmp_path, progress=False)
    forward = predict(fitted.model, store, rows[1], tiny, fitted.accelerator)
    backward = predict(fitted.model, store, rows[1][::-1], tiny, fitted.accelerator)
    assert forward.dtype == np.float32 and np.allclose(forward.sum(1), 1, atol=1e-5)
    assert np.allclose(forward, backward[::-1], atol=1e-5)
    alone = predict(fitted.model, store, rows[1][:1], tiny, fitted.accelerator)
    assert np.allclose(forward[:1], alone, atol=1e-5)


def test_crops_are_averaged(store, rows, tiny, tmp_path):
    fitted = fit(replace(tiny, epochs=1), store, *rows, tmp_path, progress=False)
    crops = predict(fitted.model, store, rows[1], replace(tiny, eval_crops=3), fitted.accelerator)
    start, frames = store.index["start"][rows[1][0]], store.index["frames"][rows[1][0]]
    mel = store.features[start : start + frames].float()
    places = [0, round((frames - 24) / 2), frames - 24]
    with torch.inference_mode():
        by_hand = fitted.model(torch.stack([mel[place : place + 24] for place in places]))[0].softmax(1).mean(0)
    assert np.allclose(crops[0], by_hand, atol=1e-5)


def test_the_last_epoch_is_kept_and_training_never_stops_early(store, rows, tiny, tmp_path, monkeypatch):
    scores = iter([0.5, 0.9, 0.1, 0.2])
    monkeypatch.setitem(METRICS, "accuracy", lambda *_: next(scores))
    fitted = fit(replace(tiny, epochs=4, patience=1, keep="last"), store, *rows, tmp_path, progress=False)
    assert (fitted.epoch, fitted.score) == (4, 0.2) and len(pd.read_csv(tmp_path / "log.csv")) == 4
    last = torch.load(tmp_path / "last.pt", weights_only=True)["model"]
    assert all(torch.equal(value, last[name]) for name, value in fitted.model.state_dict().items())
    model, facts = load_model(tmp_path / "best.pt")
    assert facts["epoch"] == 4 and torch.equal(model.head.weight, last["head.weight"])


def test_sounds_are_masked_and_images_cut_anew(tiny):
    assert loader_module._augment(tiny) == SpecAugment(2, 10, 2, 8, "mean")
    photos = replace(image_config("full", 32, 3), image_crop_pixels=5)
    assert loader_module._augment(photos) == ImageAugment(3, 5, True)


def test_the_logs_accuracy_is_among_the_base_classes(store, rows, tiny, tmp_path, monkeypatch):
    """The others' logits are never trained, and would win at first."""
    seen = []
    accuracy = step_module.mixup_accuracy
    monkeypatch.setattr(step_module, "mixup_accuracy", lambda z, *of: seen.append(z.shape[1]) or accuracy(z, *of))
    target = store.index["target"].to_numpy()
    base = [part[target[part] < 4] for part in rows]
    for mix in ("none", "lpc"):
        fit(replace(tiny, epochs=1, n_base=4, mix=mix), store, *base, tmp_path / mix, progress=False)
    assert set(seen) == {4}
