"""Finished runs of nets with random weights, as export reads them."""

import json

import torch

from kit.competition.folds import Folds
from kit.data.features import LogMel
from kit.experiment import Experiment
from kit.models.conformer import Conformer
from kit.models.heads import AMSoftmax
from kit.models.net import Net
from kit.models.pooling import GeM, SelfAttention
from kit.models.timm_backbone import Timm
from kit.models.transformer import Transformer
from kit.training.checkpoint import save_best
from kit.training.nets import build_net

CONFORMER = Net(Conformer(width=16, layers=1, heads=2, ff_width=32, kernel_size=5), SelfAttention(), AMSoftmax())
TRANSFORMER = Net(Transformer(width=16, layers=1, heads=2, ff_width=32, frame_stack=2))
TIMM = Net(Timm("test_efficientnet"), GeM())
SHORT = LogMel(n_mels=40)


def random_run(folder, store, net, folds=1, **fields):
    """The folder of a run whose folds were trained on the store."""
    experiment = Experiment(name=folder.name, folds=Folds(2), crop_frames=24, net=net, **fields)
    facts = {"priors": [1 / len(store.classes)] * len(store.classes), "task": store.task}
    for fold in range(folds):
        torch.manual_seed(fold)
        model = build_net(experiment, len(store.classes), store.n_mels)
        for module in model.modules():  # statistics as training leaves them, not 0 and 1
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_(std=0.1), module.running_var.uniform_(0.5, 2.0)
        (folder / f"fold{fold}").mkdir(parents=True)
        save_best(folder / f"fold{fold}", experiment, model.state_dict(), 0.5, 1, store.classes, store.n_mels)
        (folder / f"fold{fold}/metrics.json").write_text(json.dumps(facts))
        trained = {"trained_by": [{"data": store.folder.name}]}
        (folder / f"fold{fold}/env.json").write_text(json.dumps(trained))
    (folder / "experiment.json").write_text(json.dumps(experiment.to_dict()))
    (folder / "metrics.json").write_text(json.dumps(facts))
    return folder
