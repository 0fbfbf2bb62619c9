"""An experiment as a value of parts: strict JSON, changes by name, and each rule's message."""

import importlib
import json
import re

import pytest
from torch.nn import Identity

import kit
from kit.competition.folds import Folds
from kit.competition.metrics import Metric
from kit.data.augment import SpecAugment
from kit.data.features import LogMel, Wave
from kit.data.image_augment import ImageAugment
from kit.data.images import Pixels
from kit.data.mixup import Mixup
from kit.data.samplers import Balanced
from kit.data.wave_augment import WaveAugment
from kit.experiment import Experiment, changes, told
from kit.models.conformer import Conformer
from kit.models.heads import AMSoftmax, Cosine
from kit.models.net import Net
from kit.models.pooling import GeM, SelfAttention
from kit.models.sed import ClassAttention
from kit.models.timm_backbone import Timm
from kit.models.transformer import Transformer
from kit.parts import Part
from kit.training.finish import BaseSession
from kit.training.loop import Loop
from kit.training.losses import BCE, CrossEntropy, Focal
from kit.training.optim import AdamW, TimmOptimizer
from kit.training.predict import Crops, Windows
from kit.training.pseudo import PseudoLabels
from kit.training.schedules import WarmupConstant, WarmupCosine
from kit.training.start import StartFrom
from kit.training.views import LPCViews

# Fields without a default.
NEEDED = {"PseudoLabels": {"file": "labels.parquet"}, "SoftLabels": {"file": "labels.parquet"},
          "Distil": {"file": "teacher.npz"}, "RankBlend": {"runs": ("runs/other-s0",)},
          "Tuned": {"base": kit.FilePeak(), "field": "power", "values": (0.0, 1.0)}, "StartFrom": {"run": "runs/a-s0"},
          "Metric": {"function": "log_loss"}}  # fmt: skip
ANGULAR = Net(head=Cosine())


@pytest.mark.parametrize("name", sorted(kit.PARTS))
def test_every_part_of_the_kit_survives_strict_json(name):
    from kit.part_json import from_json, to_json

    value = getattr(kit, name)(**NEEDED.get(name, {}))
    text = json.dumps(to_json(value), allow_nan=False)
    assert json.loads(text)["part"] == name
    assert from_json(json.loads(text)) == value
    assert hash(value) == hash(from_json(json.loads(text)))


def test_an_experiment_of_many_parts_survives_a_file(tmp_path):
    experiment = Experiment(
        name="ä b", seed=7, folds=Folds(3, 1), features=Wave(LogMel(n_mels=64)), augment=(WaveAugment(), SpecAugment()),
        net=Net(Conformer(width=32), GeM(p=4.0), AMSoftmax()), mix=Mixup("manifold", places=("input", "layer1")),
        views=LPCViews(order=8), sampler=Balanced(), optimizer=AdamW(lr=2e-3), schedule=WarmupConstant(3, 0.5),
        session=BaseSession(4), predict=Windows(overlap=16), start_from=StartFrom("runs/a-s0"),
        metric=Metric("log_loss"),
    )  # fmt: skip
    path = tmp_path / "e.json"
    path.write_text(json.dumps(experiment.to_dict(), allow_nan=False), encoding="utf-8")
    assert Experiment.load(path) == experiment
    assert Experiment.load(path).metric("0" and [0], [[0.5, 0.5]]) > 0
    path.write_text('{"name": "b"}')
    assert Experiment.load(path) == Experiment(name="b")  # what is left out has its default


def test_a_bare_class_or_function_is_a_part():
    assert Experiment(net=Identity).net == Part(Identity)
    assert Experiment(augment=(sorted,)).augment == (Part(sorted),)
    assert Experiment().but(net__pooling=Identity).net.pooling == Part(Identity)


def test_but_changes_fields_by_name_and_leaves_the_original():
    first = Experiment()
    second = first.but(name="mine", net__backbone__width=16, net__backbone__heads=2, optimizer__lr=3e-3)
    assert (second.net.backbone.width, second.optimizer.lr, second.name) == (16, 3e-3, "mine")
    assert first == Experiment()
    with pytest.raises(ValueError, match=r"Conformer: no field 'widht' \(did you mean width\?\); there are width, lay"):
        first.but(net__backbone__widht=16)
    with pytest.raises(ValueError, match="Experiment: mix is no part and has no fields, got 'alpha'"):
        first.but(mix__alpha=0.1)


def test_a_field_that_older_json_lacks_has_its_default():
    new = json.loads(json.dumps(Experiment(net=Net(pooling=GeM(p=4.0))).to_dict()))
    old = json.loads(json.dumps(new))
    del old["folds"]["seed"], old["net"]["pooling"]["p"], old["crop_frames"], old["mix"]
    assert changes(old, new) == {"net__pooling__p": (3.0, 4.0)}
    assert changes(new, old) == {"net__pooling__p": (4.0, 3.0)}
    own = {"part": "mine:Own", "a": 1}
    assert changes({"net": {"part": "mine:Own"}}, {"net": own}) == {"net__a": (None, 1)}


def test_changes_are_named_by_their_field():
    old, new = (
        json.loads(json.dumps(experiment.to_dict()))
        for experiment in (Experiment(), Experiment().but(net__backbone__width=16, net__pooling=GeM(4.0), mix=Mixup()))
    )
    found = changes(old, new)
    assert set(found) == {"net__backbone__width", "net__pooling", "mix"}
    assert found["net__backbone__width"] == (160, 16)
    assert told({"net__backbone__width": (160, 16), "net__pooling": found["net__pooling"]}) == (
        "net__backbone__width 160 -> 16, net__pooling Mean() -> GeM(p=4.0, eps=1e-06)"
    )
    assert told(changes(old, old)) == ""
    assert told({"mix": (None, new["mix"])}).startswith('mix null -> Mixup(place="manifold"')


FAULTS = [
    ({"name": "../up"}, "name must be usable as a folder's name, got '../up'"),
    ({"name": ""}, "name must be usable as a folder's name, got ''"),
    ({"name": "a" * 201}, "name must be usable as a folder's name, of at most 200 bytes, got 'aa"),
    ({"seed": -1}, "seed must be at least 0, got -1"),
    ({"seed": 2**32}, "seed must be at most 4294967295, got 4294967296"),
    ({"crop_frames": 0}, "crop_frames must be at least 1, got 0"),
    ({"augment": SpecAugment()}, "augment must be of type tuple, got SpecAugment("),
    ({"augment": (3,)}, "augment must be a tuple of parts, got (3,)"),
    ({"net": None}, "net must be a part, got None"),
    ({"mix": "cutmix"}, "mix must be a part or None, got 'cutmix'"),
    ({"loss": 3}, "loss must be a part, got 3"),
    ({"features": Mixup()}, "features must be LogMel, Wave or Pixels, or have packs, got Mixup"),
    ({"views": Mixup()}, "views must be a LPCViews, got Mixup"),
    ({"loop": AdamW()}, "loop must be a Loop, got AdamW"),
    ({"metric": CrossEntropy()}, "metric must be a Metric, got CrossEntropy"),
    # Rules of one part against the others.
    ({"mix": Mixup("wave")}, 'features must be Wave with place "wave", got LogMel'),
    ({"mix": Mixup("manifold", places=("wave",))}, 'features must be Wave with place "wave", got LogMel'),
    ({"mix": Mixup(from_epoch=21)}, "from_epoch must be at most epochs (20), got 21"),
    ({"augment": (WaveAugment(),)}, "features must be Wave with WaveAugment, got LogMel"),
    ({"augment": (ImageAugment(),)}, "features must be Pixels with ImageAugment, got LogMel"),
    ({"views": LPCViews()}, "head must be Cosine or AMSoftmax with views, which compare angles, got Linear"),
    ({"views": LPCViews(), "net": ANGULAR, "loss": BCE()}, "views are for one label a row, got the loss BCE"),
    (
        {"views": LPCViews(prototypes=0.1, residual=0.0), "net": ANGULAR},
        "prototypes must be 0 where formant or residual is 0 and no session replaces prototypes, got 0.1",
    ),
    (
        {"session": BaseSession()},
        "head must be Cosine or AMSoftmax with replace_prototypes, which compare angles, got Linear",
    ),
    ({"pseudo": PseudoLabels("x.parquet")}, "loss must be BCE or Focal with pseudo labels, got CrossEntropy"),
    ({"predict": Windows(overlap=128)}, "overlap must be below crop_frames (128), got 128"),
    ({"loop": Loop(step="graph", frozen_epochs=1)}, 'frozen_epochs must be 0 with step "graph", got 1'),
    ({"loop": Loop(step="graph", accumulate=2)}, 'accumulate must be 1 with step "graph", got 2'),
    ({"features": Pixels()}, "augment must be of images with features Pixels, got SpecAugment"),
    ({"features": Pixels(), "augment": ()}, "normalize must be \"none\" with features Pixels, got 'mean'"),
    (
        {"features": Pixels(), "augment": (), "net": Net(Timm(normalize="none")), "predict": Crops()},
        "predict must be WholeClip with features Pixels, got Crops",
    ),
]


@pytest.mark.parametrize(("fields", "message"), FAULTS, ids=range(len(FAULTS)))
def test_a_bad_field_is_named(fields, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        Experiment(**fields)


OF_PARTS = [
    (lambda: AMSoftmax(margin=1.5), "margin must be in [0, 1), got 1.5"),
    (lambda: AMSoftmax(warmup_steps=-1), "warmup_steps must be at least 0, got -1"),
    (lambda: Cosine(scale=0.0), "scale must be above 0, got 0.0"),
    (lambda: GeM(p=-1.0), "p must be above 0, got -1.0"),
    (lambda: Conformer(dropout=-0.1), "dropout must be in [0, 1), got -0.1"),
    (lambda: Conformer(width=50), "width must be a multiple of heads (4), got 50"),
    (lambda: Conformer(kernel_size=30), "kernel_size must be odd, got 30"),
    (lambda: Timm(stem="smal"), "stem must be one of as_built, small, got 'smal'"),
    (lambda: Net(SelfAttention, head=3), "head must be a part, or a class of your own, got 3"),
    (
        lambda: Net(pooling=GeM(), head=ClassAttention()),
        "pooling must be left out with head ClassAttention, which pools, got GeM",
    ),
    (
        lambda: Net(Transformer(), head=ClassAttention()),
        "backbone must not be Transformer with head ClassAttention, which leaves out its hidden layer",
    ),
    (lambda: AdamW(lr=0.0), "lr must be above 0, got 0.0"),
    (lambda: AdamW(lr=float("nan")), "lr must be finite, got nan"),
    (lambda: AdamW(layer_decay=1.1), "layer_decay must be at most 1, got 1.1"),
    (lambda: AdamW(head_lr=-1.0), "head_lr must be at least 0, got -1.0"),
    (lambda: TimmOptimizer("moun"), "name: timm has no optimiser 'moun' (did you mean muon?); there are "),
    (lambda: WarmupCosine(-1), "warmup_steps must be at least 0, got -1"),
    (lambda: WarmupConstant(decay=1.5), "decay must be in [0, 1], got 1.5"),
    (lambda: Loop(epochs=0), "epochs must be at least 1, got 0"),
    (lambda: Loop(epochs=2.5), "epochs must be of type int, got 2.5"),
    (lambda: Loop(epochs=True), "epochs must be of type int, got True"),
    (lambda: Loop(accumulate=0), "accumulate must be at least 1, got 0"),
    (lambda: Loop(frozen_epochs=-1), "frozen_epochs must be at least 0, got -1"),
    (lambda: Loop(clip_norm=-1.0), "clip_norm must be at least 0, got -1.0"),
    (lambda: Loop(ema_decay=1.0), "ema_decay must be in [0, 1), got 1.0"),
    (lambda: Loop(keep="first"), "keep must be one of best, last, got 'first'"),
    (lambda: Loop(precision="int8"), "precision must be one of auto, fp32, bf16, fp16, got 'int8'"),
    (lambda: Loop(step="graf"), "step must be one of eager, compiled, graph, got 'graf'"),
    (lambda: Loop(keep="last", average_best=2), 'average_best must be 1 with keep "last", got 2'),
    (lambda: Mixup("cutmix"), "place must be one of input, wave, manifold, last_layer, embedding, got 'cutmix'"),
    (lambda: Mixup(alpha=-1.0), "alpha must be at least 0, got -1.0"),
    (lambda: Mixup(alpha=float("inf")), "alpha must be finite, got inf"),
    (lambda: Mixup(probability=1.5), "probability must be in [0, 1], got 1.5"),
    (lambda: Mixup(from_epoch=0), "from_epoch must be at least 1, got 0"),
    (lambda: Mixup(from_epoch=5, until_epoch=4), "until_epoch must be 0 or at least from_epoch (5), got 4"),
    (lambda: Mixup(places="layer1"), "places must be of type tuple, got 'layer1'"),
    (lambda: Mixup("input", places=("stem",)), "places must be empty unless place is \"manifold\", got ('stem',)"),
    (lambda: Mixup(places=("stem", "stem")), "places must name each place once, got ('stem', 'stem')"),
    (lambda: LPCViews(swap="closest"), "swap must be one of none, least, most, got 'closest'"),
    (lambda: LPCViews(order=0), "order must be at least 1, got 0"),
    (lambda: LPCViews(order=16.0), "order must be of type int, got 16.0"),
    (lambda: LPCViews(formant=-1.0), "formant must be at least 0, got -1.0"),
    (lambda: LPCViews(residual=float("inf")), "residual must be finite, got inf"),
    (lambda: LPCViews(instance=1.5), "instance must be in [0, 1], got 1.5"),
    (lambda: LPCViews(prototypes=-0.1), "prototypes must be in [0, 1], got -0.1"),
    (lambda: BaseSession(-1), "n_base must be at least 0, got -1"),
    (lambda: CrossEntropy(1.0), "label_smoothing must be in [0, 1), got 1.0"),
    (lambda: Focal(gamma=-1.0), "gamma must be at least 0, got -1.0"),
    (lambda: BCE(positive_weight=float("inf")), "positive_weight must be finite, got inf"),
    (lambda: BCE(positive_decay=1.5), "positive_decay must be in [0, 1], got 1.5"),
    (lambda: PseudoLabels("x", decay=1.5), "decay must be in [0, 1], got 1.5"),
    (lambda: PseudoLabels("x", weight=-1.0), "weight must be at least 0, got -1.0"),
    (lambda: StartFrom(""), "run must name a run's folder or a best.pt, got ''"),
    (lambda: Windows(pooling="mean"), "pooling must be one of max, top, got 'mean'"),
    (lambda: Crops(0), "n must be at least 1, got 0"),
    (lambda: Pixels(2), "channels must be one of 1, 3, got 2"),
    (lambda: ImageAugment(-1), "crop_pixels must be at least 0, got -1"),
    (lambda: Balanced(-1.0), "power must be at least 0, got -1.0"),
]


@pytest.mark.parametrize(("make", "message"), OF_PARTS, ids=range(len(OF_PARTS)))
def test_a_part_checks_its_own_fields(make, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        make()


def test_unknown_keys_and_parts_are_refused_with_the_choices(tmp_path):
    for values, message in (
        ({"sede": 3}, r"^Experiment: no field 'sede' \(did you mean seed\?\); there are name, seed, folds"),
        ({"features": {"part": "LogMel", "rows": 3}}, "^features: LogMel: no field 'rows'; there are sample_rate_hz"),
        ({"net": {"part": "Nett"}}, r"^net: no part 'Nett' \(did you mean Net\?\); there are AMSoftmax, AdamW"),
        ({"net": {"part": "Net", "head": {"part": "Cosin"}}}, r"^net\.head: no part 'Cosin' \(did you mean Cosine\?\)"),
        ({"augment": [{"part": "SpecAugment", "fill": 3}]}, r"^augment\[0\]: fill must be of type str, got 3"),
        ({"mix": {"place": "input"}}, r'^mix must be an object with a text "part", got \[\'place\'\]'),
        ({"seed": "3"}, "^seed must be of type int, got '3'"),
    ):
        with pytest.raises(ValueError, match=message):
            Experiment.from_dict(values)
    path = tmp_path / "e.json"
    for text, message in (
        ("[]", "e.json: an experiment must be a JSON object, got list"),
        ('{"seed": NaN}', "e.json: seed must be of type int, got nan"),
        ('{"seed": 1, "seed": 2}', "e.json: .*seed"),
        ("{", "e.json: "),
    ):
        path.write_text(text)
        with pytest.raises(ValueError, match=message):
            Experiment.load(path)
    with pytest.raises(ValueError, match=r"gone\.json"):
        Experiment.load(tmp_path / "gone.json")


def test_every_part_that_the_front_page_lists_is_where_the_list_says():
    for name, module in kit.PARTS.items():
        assert getattr(importlib.import_module(module), name).__module__ == module
        assert getattr(kit, name) is getattr(importlib.import_module(module), name)
