"""The loop of one fold: what it learns, logs, stops at, freezes, and says where it can't go on."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from accelerate import Accelerator

from kit.competition.metrics import METRICS, Metric
from kit.data.batch import Batch
from kit.data.batches import generator_for
from kit.data.mixup import Mixup
from kit.models.heads import AMSoftmax, Linear
from kit.models.timm_backbone import Timm
from kit.training import fit as fit_module
from kit.training import step as step_module
from kit.training.faults import DeviceMemoryError
from kit.training.finish import BaseSession
from kit.training.fit import DivergedError, fit
from kit.training.losses import CrossEntropy
from kit.training.nets import build_net
from kit.training.predict import Crops, predict
from kit.training.step import TrainStep
from kit.training.views import LPCViews


def test_training_learns_and_logs_a_row_an_epoch(store, rows, tiny, tmp_path):
    fit(tiny.but(augment=(), net__head=Linear(), loop__epochs=40, loop__patience=40), store, *rows, tmp_path,
        progress=False)  # fmt: skip
    log = pd.read_csv(tmp_path / "log.csv")
    assert log["epoch"].tolist() == list(range(1, len(log) + 1))
    assert list(log.columns) == ["epoch", "step", "lr", "loss", "train_accuracy", "valid_score", "valid_loss"]
    assert log["loss"].iloc[-1] < 0.8 * log["loss"].iloc[0]
    assert log["train_accuracy"].iloc[-1] > 0.6  # chance is 1 in 6


def test_the_log_tells_the_rate_of_each_epochs_last_update(store, rows, tiny, tmp_path):
    """24 rows in batches of 8: updates 2, 5 and 8 of 9, warmed up over 4."""
    fit(tiny, store, *rows, tmp_path, progress=False)
    shares = [3 / 4, *(0.5 * (1 + math.cos(math.pi * done / 5)) for done in (1, 4))]
    assert pd.read_csv(tmp_path / "log.csv")["lr"].tolist() == pytest.approx([5e-3 * share for share in shares])
    assert pd.read_csv(tmp_path / "log.csv")["step"].tolist() == [3, 6, 9]


def test_batches_of_workers_train_to_the_same_bits(store, rows, tiny, tmp_path):
    for workers in (0, 2):
        experiment = tiny.but(loop__epochs=2, loop__workers=workers)
        fit(experiment, store, *rows, tmp_path / str(workers), progress=False)
    assert (tmp_path / "2/log.csv").read_text() == (tmp_path / "0/log.csv").read_text()


def scripted(scores, higher_is_better=True):
    """A metric by which the validations score these, one after another."""
    told = iter(scores)
    return Metric(lambda target, probability: next(told), higher_is_better)


@pytest.mark.parametrize("sign", [1, -1], ids=["higher is better", "lower is better"])
def test_early_stopping_counts_validations_without_a_better_score(store, rows, tiny, tmp_path, sign):
    metric = scripted([sign * score for score in (0.1, 0.3, 0.2, 0.3, 0.9)], sign == 1)  # an equal score is no better
    experiment = tiny.but(loop__epochs=5, loop__patience=2)
    fitted = fit(experiment, store, *rows, tmp_path, metric=metric, progress=False)
    assert (fitted.score, fitted.epoch) == (sign * 0.3, 2)
    assert len(pd.read_csv(tmp_path / "log.csv")) == 4


def test_the_last_epoch_is_kept_and_training_never_stops_early(store, rows, tiny, tmp_path):
    experiment = tiny.but(loop__epochs=4, loop__patience=1, loop__keep="last")
    fitted = fit(experiment, store, *rows, tmp_path, metric=scripted([0.5, 0.9, 0.1, 0.2]), progress=False)
    assert (fitted.epoch, fitted.score) == (4, 0.2) and len(pd.read_csv(tmp_path / "log.csv")) == 4
    last, best = (torch.load(tmp_path / name, weights_only=True) for name in ("last.pt", "best.pt"))
    assert best["epoch"] == 4
    for name, value in fitted.model.state_dict().items():
        assert torch.equal(value, last["model"][name]) and torch.equal(value, best["model"][name])


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_no_number_names_step_and_rate(store, rows, tiny, tmp_path, monkeypatch, bad):
    calls, plain = [], CrossEntropy.__call__

    def loss(self, logits, batch):
        calls.append(1)
        return plain(self, logits, batch) * (bad if len(calls) == 5 else 1)

    monkeypatch.setattr(CrossEntropy, "__call__", loss)
    with pytest.raises(DivergedError, match=rf"the loss is {bad} at step 5, at [\d.]+ of the learning rate: lower lr"):
        fit(tiny, store, *rows, tmp_path, progress=False)


def test_the_logged_accuracy_has_no_margin(store, rows, tiny, tmp_path, monkeypatch):
    """With the margin in it, an item right by less than the margin would count as wrong."""
    seen, forward = [], TrainStep._forward
    monkeypatch.setattr(TrainStep, "_forward", lambda *arguments: seen.append(forward(*arguments)) or seen[-1])
    fit(tiny.but(loop__epochs=1, net__head=AMSoftmax(margin=0.9)), store, *rows, tmp_path, progress=False)
    spread = torch.cat([logits.detach() for _, logits in seen])
    assert spread.abs().max() <= 30.0001  # s·cos, and not s·(cos - m), which reaches -57
    assert pd.read_csv(tmp_path / "log.csv")["train_accuracy"][0] > 0


def test_the_moving_average_is_what_is_validated_and_kept(store, rows, tiny, tmp_path):
    experiment = tiny.but(loop__ema_decay=0.9)
    fitted = fit(experiment, store, *rows, tmp_path, progress=False)
    saved = torch.load(tmp_path / "last.pt", weights_only=True)
    assert not torch.equal(saved["ema"]["head.weight"], saved["model"]["head.weight"])
    target = store.index["target"].to_numpy()[rows[1]]
    score = METRICS["accuracy"](target, predict(fitted.model, store, rows[1], experiment, fitted.accelerator))
    assert score == fitted.score


def states_by_epoch(monkeypatch):
    """The net's state as training finds it, and after each epoch."""
    states, begin, train = [], fit_module._set_training, fit_module._train_epoch

    def copied(net):
        return {name: value.clone() for name, value in net.state_dict().items()}

    def beginning(model, raw, *rest):
        if not states:
            states.append(copied(raw))
        return begin(model, raw, *rest)

    def training(experiment, epoch, step, *rest):
        row = train(experiment, epoch, step, *rest)
        states.append(copied(step.raw))
        return row

    monkeypatch.setattr(fit_module, "_set_training", beginning)
    monkeypatch.setattr(fit_module, "_train_epoch", training)
    return states


@pytest.mark.parametrize("backbone", ["conformer", "timm"])
def test_a_frozen_backbone_and_its_norms_stay_as_they_are_and_then_train(
    store, rows, tiny, tmp_path, monkeypatch, backbone
):
    states = states_by_epoch(monkeypatch)
    experiment = tiny.but(loop__frozen_epochs=2, loop__epochs=3)
    if backbone == "timm":
        experiment = experiment.but(net__backbone=Timm("test_resnet"))
    fit(experiment, store, *rows, tmp_path, progress=False)
    names = [name for name in states[0] if name.startswith("stages.") and states[0][name].numel()]
    assert any("running_mean" in name for name in names)
    for frozen in states[1:3]:
        assert all(torch.equal(frozen[name], states[0][name]) for name in names)
        assert not torch.equal(frozen["head.weight"], states[0]["head.weight"])
    moved = [not torch.equal(states[3][name], states[0][name]) for name in names]
    assert sum(moved) > 0.9 * len(names)
    assert all(move for move, name in zip(moved, names, strict=True) if "running_mean" in name)


def test_a_frozen_training_that_is_cut_short_goes_on_to_the_same_bits(store, rows, tiny, tmp_path, monkeypatch):
    experiment = tiny.but(loop__frozen_epochs=1, loop__epochs=2)
    fit(experiment, store, *rows, tmp_path / "whole", progress=False)
    save = fit_module.save_checkpoint

    def save_and_stop(*arguments):
        save(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(fit_module, "save_checkpoint", save_and_stop)
        fit(experiment, store, *rows, tmp_path / "parts", progress=False)
    fit(experiment, store, *rows, tmp_path / "parts", progress=False)
    assert (tmp_path / "parts/log.csv").read_text() == (tmp_path / "whole/log.csv").read_text()


def gradients(experiment, batches):
    """The net's gradients where `batches` make one update, without the clipping of their norm."""
    torch.manual_seed(0)
    net, accelerator = build_net(experiment, 6, 40).train(), Accelerator(cpu=True)
    optimizer = torch.optim.SGD(net.parameters(), 0.0)
    optimizer.param_groups[0]["initial_lr"] = 0.0
    step = TrainStep(experiment, net, net, optimizer, accelerator)
    for number, batch in enumerate(batches):
        step(batch, number, 1.0, last=number == len(batches) - 1, parts=len(batches))
    return {name: parameter.grad for name, parameter in net.named_parameters()}


def test_two_batches_of_16_give_the_gradients_of_one_of_32(tiny):
    """Of a net without batch norm and dropout, within the rounding of sums over 32 × 24 frames."""
    experiment = tiny.but(
        net__backbone__conv_norm="group", net__backbone__dropout=0.0, net__head=Linear(), loop__clip_norm=0.0
    )
    mel, target = torch.randn(32, 24, 40), torch.randint(6, (32,), generator=generator_for(0))
    whole = Batch(mel, None, target, torch.arange(32))
    halves = [Batch(mel[part], None, target[part], torch.arange(16)) for part in (slice(16), slice(16, 32))]
    one, two = (gradients(experiment, batches) for batches in ([whole], halves))
    scale = max(value.abs().max().item() for value in one.values())
    assert all(torch.allclose(one[name], two[name], rtol=1e-3, atol=1e-5 * scale) for name in one)
    alone = gradients(experiment, halves[:1])
    assert not all(torch.allclose(one[name], alone[name], rtol=1e-2, atol=1e-3 * scale) for name in one)


def test_updates_and_not_batches_are_counted_where_gradients_add_up(store, rows, tiny, tmp_path):
    """Three batches an epoch, two of them an update, and the last alone: an epoch ends with an update of its own."""
    fit(tiny.but(loop__accumulate=2), store, *rows, tmp_path, progress=False)
    assert pd.read_csv(tmp_path / "log.csv")["step"].tolist() == [2, 4, 6]


def holding(monkeypatch, most_items, most_frames=10**9):
    """A device that holds so many items of a training batch, and so many frames of another."""
    build = fit_module.build_net

    def check(model, arguments):
        items, frames = arguments[0].shape[:2]
        if items > most_items if model.training else items * frames > most_frames:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.\nGPU 0 has ...")

    def built(*arguments):
        model = build(*arguments)
        model.register_forward_pre_hook(check)
        return model

    monkeypatch.setattr(fit_module, "build_net", built)


def test_a_device_without_memory_proposes_a_batch_that_fits(store, rows, tiny, tmp_path, monkeypatch):
    holding(monkeypatch, most_items=4)
    with pytest.raises(DeviceMemoryError, match="^the device has no memory for batch_size 8: try batch_size 4, under"):
        fit(tiny, store, *rows, tmp_path / "eight", progress=False)
    assert not (tmp_path / "eight").exists()
    fit(tiny.but(loop__epochs=1, loop__batch_size=4), store, *rows, tmp_path / "four", progress=False)
    holding(monkeypatch, most_items=0)
    alone = tiny.but(loop__batch_size=1, net__backbone__conv_norm="group")
    with pytest.raises(DeviceMemoryError, match="batch_size 1: a smaller net or crop is needed$"):
        fit(alone, store, *rows, tmp_path / "one", progress=False)


def test_a_device_without_memory_for_a_validation(store, rows, tiny, tmp_path, monkeypatch):
    longest = int(store.index["frames"].max())
    holding(monkeypatch, most_items=8, most_frames=longest)
    experiment = tiny.but(loop__epochs=1, predict__batch_frames=2 * longest)
    with pytest.raises(DeviceMemoryError, match=rf"for batch_frames {2 * longest} \(.*\): try batch_frames {longest},"):
        fit(experiment, store, *rows, tmp_path / "twice", progress=False)
    fit(experiment.but(predict__batch_frames=longest), store, *rows, tmp_path / "once", progress=False)


def test_predictions_keep_the_order_of_the_rows(store, rows, tiny, tmp_path):
    fitted = fit(tiny.but(loop__epochs=1), store, *rows, tmp_path, progress=False)
    forward = predict(fitted.model, store, rows[1], tiny, fitted.accelerator)
    backward = predict(fitted.model, store, rows[1][::-1], tiny, fitted.accelerator)
    assert forward.dtype == np.float32 and np.allclose(forward.sum(1), 1, atol=1e-5)
    assert np.allclose(forward, backward[::-1], atol=1e-5)
    alone = predict(fitted.model, store, rows[1][:1], tiny, fitted.accelerator)
    assert np.allclose(forward[:1], alone, atol=1e-5)


def test_crops_are_averaged(store, rows, tiny, tmp_path):
    fitted = fit(tiny.but(loop__epochs=1), store, *rows, tmp_path, progress=False)
    crops = predict(fitted.model, store, rows[1], tiny.but(predict=Crops(3)), fitted.accelerator)
    start, frames = store.index["start"][rows[1][0]], store.index["frames"][rows[1][0]]
    mel = store.features[start : start + frames].float()
    starts = [0, round((frames - 24) / 2), frames - 24]
    with torch.inference_mode():
        by_hand = fitted.model(torch.stack([mel[start : start + 24] for start in starts]))[0].softmax(1).mean(0)
    assert np.allclose(crops[0], by_hand, atol=1e-5)


@pytest.mark.parametrize("fields", [{}, {"views": LPCViews()}], ids=["plain", "views"])
def test_the_logs_accuracy_is_among_the_base_classes(store, rows, tiny, tmp_path, monkeypatch, fields):
    """The others' logits are never trained, and would win at first."""
    seen, accuracy = [], step_module.mixup_accuracy
    monkeypatch.setattr(step_module, "mixup_accuracy", lambda z, *of: seen.append(z.shape[1]) or accuracy(z, *of))
    target = store.index["target"].to_numpy()
    base = [part[target[part] < 4] for part in rows]
    session = BaseSession(4, replace_prototypes=False)
    fit(tiny.but(loop__epochs=1, session=session, **fields), store, *base, tmp_path, progress=False)
    assert set(seen) == {4}


class Whole(torch.nn.Module):
    def __init__(self, n_mels, n_classes):
        super().__init__()
        self.linear = torch.nn.Linear(n_mels, n_classes)

    def forward(self, mel, mask=None):
        z = mel.mean(1)
        return self.linear(z), z


def test_a_net_without_stages_is_refused_a_manifold_mixup(store, rows, tiny, tmp_path):
    experiment = tiny.but(net=Whole, loop__epochs=1)
    fit(experiment, store, *rows, tmp_path, progress=False)
    with pytest.raises(ValueError, match='place "manifold" needs a net with stages to mix between'):
        fit(experiment.but(mix=Mixup(), name="mixed"), store, *rows, tmp_path / "no", progress=False)
