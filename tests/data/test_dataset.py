import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from kit.data.augment import SpecAugment
from kit.data.augmenters import Augmenters
from kit.data.batches import Drawn, EpochBatches
from kit.data.crops import EvenCrops, RandomCrops, WholeClips, WindowCrops
from kit.data.dataset import SpectrogramDataset, Training, batch_loader
from kit.data.features import MelFilterbank, Wave
from kit.data.lpc import LPCViews, mel_lpc_views
from kit.data.mels import Mels
from kit.data.mix_plan import MixPlan
from kit.data.mixup import MixDrawer
from kit.data.store import open_store, pack
from kit.data.wave_augment import WaveAugment
from kit.parts import Part


@pytest.fixture(scope="module")
def store(voices, tmp_path_factory):
    return pack(voices, tmp_path_factory.mktemp("cache"), progress=False)


@pytest.fixture(scope="module")
def waves(voices, tmp_path_factory):
    return pack(voices, tmp_path_factory.mktemp("cache"), kind="wave", progress=False)


def utterance(store, row):
    start, frames = store.index["start"][row], store.index["frames"][row]
    return store.features[start : start + frames].float()


def served(store, frames=32, rows=None, *, train=True, crops=0, lpc_order=0, front=None, device="cpu", **training):
    """Training crops, or of validation whole clips or even crops."""
    mels = Mels(store, lpc_order=lpc_order, front=front, device=device)
    segment = mels.units(frames)
    crop = RandomCrops(segment) if train else EvenCrops(segment, crops) if crops else WholeClips()
    augment = Augmenters(training.pop("augment", ()), Wave(store.mel) if store.kind == "wave" else None)
    work = Training(augment=augment, **training) if train else None
    rows = store.rows("train") if rows is None else rows
    return SpectrogramDataset(store, rows, crop, mels=mels, training=work, device=device)


def training_set(store, frames=32, **options):
    return served(store, frames, **options)


def test_a_crop_is_a_stretch_of_its_utterance(store):
    batch = training_set(store).__getitems__([5, 0, 17])
    assert batch.mel.shape == (3, 32, 40) and batch.mel.dtype == torch.float32 and batch.mask is None
    assert batch.target.tolist() == store.index["target"][[5, 0, 17]].tolist()
    for mel, row in zip(batch.mel, batch.row.tolist(), strict=True):
        whole = utterance(store, row)
        assert any(torch.equal(mel, whole[start : start + 32]) for start in range(len(whole) - 31))


def test_crops_reach_both_ends_and_change_with_the_epoch(store):
    dataset, whole, seen = training_set(store), utterance(store, 0), set()
    for epoch in range(300):
        dataset.set_epoch(epoch)
        mel = dataset[0].mel[0]
        seen.add(next(start for start in range(len(whole)) if torch.equal(mel, whole[start : start + 32])))
    assert min(seen) <= 3 and max(seen) >= len(whole) - 32 - 3 and len(seen) > 50


@pytest.mark.parametrize("kind", ["mel", "wave"])
@pytest.mark.parametrize("options", [{"train": True}, {"train": False}, {"train": False, "crops": 3}])
def test_a_file_serves_what_a_store_in_memory_serves(store, waves, kind, options):
    """With utterances shorter than the crop, and the last of the file, after which there is nothing."""
    store = store if kind == "mel" else waves
    memory = replace(store, file=None, features=store.features.clone())
    rows, longest = range(len(store.index)), 1 + int(store.index["frames"].max()) // (1 if kind == "mel" else 160)
    for frames in (32, longest):
        one, two = (served(each, frames, rows, **options) for each in (store, memory))
        assert one.reader.features is None and two.reader.features is memory.features
        for first in (0, len(rows) - 4):
            for value, other in zip(*(each.__getitems__(range(first, first + 4)) for each in (one, two)), strict=True):
                assert value is other is None or torch.equal(value, other)


def test_batches_leave_no_page_of_a_file_in_the_process(store):
    """A mapping would: each page that was touched counts as the process's memory."""
    if not (smaps := Path("/proc/self/smaps")).exists():
        pytest.skip("needs Linux's /proc")

    def resident_kb():
        parts = smaps.read_text().split(f"{store.folder}/features.bin\n")[1:]
        return sum(int(re.search(r"^Rss: +(\d+) kB", part, re.M)[1]) for part in parts)

    store = open_store(store.folder)
    opened = resident_kb()
    for dataset in (training_set(store), served(store, train=False)):
        for first in range(0, len(dataset), 8):
            dataset.__getitems__(range(first, first + 8))
    assert resident_kb() == opened
    store.features.float().sum()
    assert resident_kb() >= opened + store.features.nbytes // 2048


@pytest.mark.parametrize("room", [1.9, 2.1])
def test_a_store_that_fits_a_device_is_there_once(store, monkeypatch, room):
    """Half of what is free may be taken. Every machine has "meta", which is not the CPU."""
    store, free = open_store(store.folder), int(room * store.features.nbytes)
    monkeypatch.setattr("kit.data.reader._free_bytes", lambda device: free)
    train, valid = (served(store, 32, range(4), train=train, device="meta") for train in (True, False))
    assert train.reader.features is valid.reader.features is store.resident.get(torch.device("meta"))
    assert (train.reader.features is not None) == (room > 2)
    assert train.__getitems__([0, 1]).mel.is_meta and valid.__getitems__([0, 1]).mel.is_meta


def test_a_draw_is_a_function_of_seed_epoch_and_batch(store):
    def batch_of(seed, epoch):
        dataset = training_set(store, seed=seed, augment=(SpecAugment(),))
        dataset.set_epoch(epoch)
        return dataset.__getitems__([3, 1, 2]).mel

    assert torch.equal(batch_of(1, 4), batch_of(1, 4))
    assert not torch.equal(batch_of(1, 4), batch_of(1, 5))
    assert not torch.equal(batch_of(1, 4), batch_of(2, 4))


def test_short_utterances_are_padded_with_their_mean_and_masked(store):
    longest = int(store.index["frames"].max()) + 10
    batch = training_set(store, longest).__getitems__([0, 1])
    for mel, mask, row in zip(batch.mel, batch.mask, batch.row.tolist(), strict=True):
        whole = utterance(store, row)
        assert mask.sum() == len(whole) and mask[: len(whole)].all()
        assert torch.equal(mel[: len(whole)], whole)
        assert torch.allclose(mel[len(whole) :], whole.mean(0).expand(longest - len(whole), 40), atol=1e-4)


def test_specaugment_masks_training_batches_and_no_others(store):
    plain = training_set(store).__getitems__(range(16)).mel
    masked = training_set(store, augment=(SpecAugment(),)).__getitems__(range(16)).mel
    assert (plain != masked).any(dim=(1, 2)).float().mean() > 0.9
    quiet = served(store, train=False)
    for mel, mask, row in zip(*(quiet.__getitems__([4, 9])[i] for i in (0, 1, 3)), strict=True):
        assert torch.equal(mel[mask], utterance(store, int(row)))


def test_validation_serves_whole_utterances_or_even_crops(store):
    whole = served(store, train=False)[2]
    assert torch.equal(whole.mel[0], utterance(store, 2)) and whole.mask is None
    crops = served(store, train=False, crops=3).__getitems__([2, 6])
    assert crops.mel.shape == (6, 32, 40) and crops.row.tolist() == [2, 2, 2, 6, 6, 6]
    full = utterance(store, 2)
    middle = round((len(full) - 32) / 2)
    assert torch.equal(crops.mel[0], full[:32]) and torch.equal(crops.mel[2], full[-32:])
    assert torch.equal(crops.mel[1], full[middle : middle + 32])


def test_waves_are_served_as_log_mels(waves):
    dataset = training_set(waves, 32)
    assert dataset.__getitems__([0, 1]).mel.shape == (2, 32, 40)
    valid = served(waves, train=False)
    batch = valid.__getitems__([0, 1])
    alone = valid[1]
    frames = int(batch.mask[1].sum()) if batch.mask is not None else batch.mel.shape[1]
    assert torch.allclose(batch.mel[1, :frames], alone.mel[0], atol=1e-4)


@dataclass(frozen=True)
class OfWave:
    """One's own augmentation of waves."""

    change: Callable
    of_wave = True

    def __call__(self, wave, seed):
        return self.change(wave, seed)


def test_wave_augmentation_sees_each_wave_once_with_its_seed(waves):
    seeds = []

    def louder(wave, seed):
        seeds.append(seed)
        return wave * 10

    plain = training_set(waves).__getitems__([0, 1]).mel
    loud = training_set(waves, augment=(OfWave(louder),)).__getitems__([0, 1]).mel
    assert len(set(seeds)) == 2
    assert (loud - plain).median() == pytest.approx(2 * np.log(10), abs=0.01)


def half_and_half(items, epoch, generator, place="wave"):
    return MixPlan(torch.tensor(0.5), torch.arange(items).flip(0), place)


def test_waves_are_mixed_before_they_are_log_mels(waves):
    alone = training_set(waves, augment=(OfWave(lambda wave, seed: alone_waves.append(wave) or wave),))
    alone_waves = []
    alone.__getitems__([3, 8])
    mixed = training_set(waves, draw_mix=half_and_half).__getitems__([3, 8])
    by_hand = MelFilterbank(waves.mel)(torch.from_numpy((alone_waves[0] + alone_waves[1]) / 2)[None])
    torch.testing.assert_close(mixed.mel, by_hand.expand(2, -1, -1), atol=1e-4, rtol=0)
    assert mixed.target.tolist() == waves.index["target"][[3, 8]].tolist()


def test_a_mixture_of_waves_is_as_long_as_the_longer_and_ends_with_it_alone(waves):
    hop, window, size = waves.mel.hop_samples, waves.mel.window_samples, waves.index["frames"]
    short, long = sorted([0, 1, 2, 3], key=lambda row: size[row])[::3]
    frames = 1 + (int(size[long]) + 1000 - window) // hop
    batch = training_set(waves, frames, draw_mix=half_and_half).__getitems__([short, long])
    valid = [1 + (int(size[row]) - window) // hop for row in (short, long)]
    assert batch.mask.sum(1).tolist() == [valid[1], valid[1]] and valid[0] < valid[1] - 1
    plain = training_set(waves, frames).__getitems__([short, long])
    after = -(-int(size[short]) // hop)  # the first frame with nothing of the shorter
    quieter = plain.mel[1, after : valid[1]] + 2 * np.log(0.5)
    floor = np.log(waves.mel.floor)
    torch.testing.assert_close(batch.mel[0, after : valid[1]], quieter.clamp(min=floor), atol=1e-3, rtol=0)


def test_plans_of_other_places_are_handed_on(waves):
    plain = training_set(waves).__getitems__([0, 1])
    batch = training_set(waves, draw_mix=lambda *draw: half_and_half(*draw, place="stem")).__getitems__([0, 1])
    assert torch.equal(batch.mel, plain.mel) and batch.plan.place == "stem" and plain.plan is None


def test_validation_is_not_mixed(waves):
    valid = served(waves, train=False)
    assert valid.__getitems__([0, 1]).plan is None


def test_a_plan_is_a_function_of_seed_epoch_and_batch_and_moves_no_other_draw(store):
    def batch_of(seed, epoch, rows, mix=True):
        draw = MixDrawer(("input",), per_row=True).draw if mix else None
        dataset = training_set(store, seed=seed, augment=(SpecAugment(),), draw_mix=draw)
        dataset.set_epoch(epoch)
        return dataset.__getitems__(rows)

    first = batch_of(1, 4, [3, 1, 2])
    assert torch.equal(first.plan.lam, batch_of(1, 4, [3, 1, 2]).plan.lam)
    for other in ((1, 5, [3, 1, 2]), (2, 4, [3, 1, 2]), (1, 4, [4, 1, 2])):
        assert not torch.equal(first.plan.lam, batch_of(*other).plan.lam)
    assert torch.equal(first.mel, batch_of(1, 4, [3, 1, 2], mix=False).mel)


@pytest.mark.parametrize("kind", ["mel", "wave"])
@pytest.mark.parametrize("frames", [32, 200])  # 200: some of them padded
@pytest.mark.parametrize("mixed", [False, True])
def test_the_speech_view_is_what_the_plain_path_serves(store, waves, kind, frames, mixed):
    source = {"mel": store, "wave": waves}[kind]
    mixup = MixDrawer(("wave" if kind == "wave" else "input",))
    options = {"augment": (SpecAugment(),), "draw_mix": mixup.draw if mixed else None}
    for train in (True, False):
        rows, used = source.rows("train"), options if train else {}
        plain, views = (
            served(source, frames, rows, train=train, lpc_order=order, **used).__getitems__([0, 9, 4, 7])
            for order in (0, 16)
        )
        assert views.mel.shape == (12, *plain.mel.shape[1:]) and views.target.shape == (4,)
        assert torch.equal(views.mel[:4], plain.mel) and torch.equal(views.target, plain.target)
        if plain.mask is None:
            assert views.mask is None
        else:
            assert torch.equal(views.mask, plain.mask.repeat(3, 1))


def test_views_are_aligned_and_masked_alike(store):
    """Where no mask lies, residual = speech − formant; where one lies, it lies in all three."""
    batch = training_set(store, lpc_order=12, augment=(SpecAugment(),)).__getitems__([5, 0, 17])
    plain = training_set(store, lpc_order=12).__getitems__([5, 0, 17])
    hidden = [now != before for now, before in zip(batch.mel.chunk(3), plain.mel.chunk(3), strict=True)]
    assert torch.equal(hidden[0], hidden[1]) and torch.equal(hidden[0], hidden[2]) and hidden[0].any()
    speech, formant, residual = (view[~hidden[0]] for view in batch.mel.chunk(3))
    torch.testing.assert_close(speech, formant + residual, atol=1e-4, rtol=0)
    by_hand = mel_lpc_views(plain.mel[:3], 12)
    torch.testing.assert_close(plain.mel, by_hand.transpose(0, 1).flatten(0, 1))


def test_views_follow_what_was_done_to_the_waves(waves):
    heard = []

    def clipped(wave, seed):
        heard.append((wave * 3).clip(-0.1, 0.1))
        return heard[-1]

    batch = training_set(waves, lpc_order=16, augment=(OfWave(clipped),)).__getitems__([3, 8])
    by_hand = LPCViews(waves.mel, 16)(torch.from_numpy(np.stack(heard)))
    torch.testing.assert_close(batch.mel, by_hand.transpose(0, 1).flatten(0, 1))


def test_padded_frames_of_each_view_are_its_own_mean(waves):
    batch = training_set(waves, 200, lpc_order=16).__getitems__([0, 1])
    for mel, mask in zip(batch.mel, batch.mask, strict=True):
        mean = mel[mask].mean(0)
        torch.testing.assert_close(mel[~mask], mean.expand(int((~mask).sum()), 40), atol=1e-4, rtol=0)


@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # more than one core can run
def test_loader_in_this_process_and_in_two_workers_serves_the_same(store):
    dataset = training_set(store, augment=(SpecAugment(),))
    batches = EpochBatches(torch.zeros(len(dataset)), 16)
    here = list(batch_loader(dataset, batches))
    there = list(batch_loader(dataset, batches, workers=2))
    assert len(here) == 3
    for one, two in zip(here, there, strict=True):
        assert torch.equal(one.mel, two.mel) and torch.equal(one.target, two.target)


def test_windows_cover_a_clip_side_by_side(store):
    mels = Mels(store)
    batch = SpectrogramDataset(store, store.rows("train"), WindowCrops(32, 8), mels=mels).__getitems__([2, 6])
    whole, times = utterance(store, 2), batch.row.tolist().count(2)
    assert batch.row.tolist() == [2] * times + [6] * (len(batch.row) - times)
    assert torch.equal(batch.mel[0], whole[:32]) and torch.equal(batch.mel[times - 1], whole[-32:])
    sizes = store.index["frames"].to_numpy()[[2, 6]]
    assert WindowCrops(32, 8).units(sizes).tolist() == [32 * times, 32 * (len(batch.row) - times)]
    assert EvenCrops(32, 3).units(sizes).tolist() == [96, 96] and WholeClips().units(sizes).tolist() == sizes.tolist()


def add_one(mel, mask, generator):
    return mel + 1


def noisy(mel, mask, generator):
    return mel + torch.rand(mel.shape, generator=generator)


class Double:
    """One's own augmentation by a plan, which is how often to double."""

    def draw(self, lengths, n_bins, generator):
        return 1 + len(lengths) * 0

    def apply(self, mel, plan, mask):
        return mel * 2**plan


@pytest.mark.parametrize("lpc_order", [0, 16])
def test_augmentations_follow_one_another_in_their_order(store, lpc_order):
    def mel(*augment):
        return training_set(store, augment=augment, lpc_order=lpc_order).__getitems__([5, 0, 17]).mel

    plain = mel()
    assert torch.equal(mel(add_one, Double()), (plain + 1) * 2)
    assert torch.equal(mel(Double(), add_one), plain * 2 + 1)
    assert torch.equal(mel(Part(Double), Part(add_one)), plain * 2 + 1)
    assert (mel(SpecAugment(), add_one) - 1 != plain).any() and torch.equal(mel(add_one), plain + 1)


def test_ones_own_function_sees_each_view_with_the_same_draws(store):
    plain, changed = (training_set(store, augment=augment, lpc_order=16).__getitems__([5, 0]).mel
                      for augment in ((), (noisy,)))  # fmt: skip
    noise = (changed - plain).chunk(3)
    assert noise[0].max() > 0.5
    for other in noise[1:]:
        torch.testing.assert_close(noise[0], other, atol=1e-5, rtol=0)


def test_a_later_specaugment_takes_the_mean_of_valid_frames_alone(store):
    """What came before may have changed the padding."""

    def spoilt(mel, mask, generator):
        return mel.masked_fill(~mask.unsqueeze(2), 1e6)

    longest = int(store.index["frames"].max()) + 10
    batch = training_set(store, longest, augment=(spoilt, SpecAugment())).__getitems__([0, 1])
    assert batch.mel[batch.mask].abs().max() < 100


@pytest.mark.parametrize(
    ("augment", "message"),
    [(lambda mel, mask, generator: mel[:, 1:], r"function must give a mel of torch.float32 \(2, 32, 40\), as it got, "
      r"got torch.float32 \(2, 31, 40\)"),
     (lambda mel, mask, generator: mel.double(), r"function must give a mel of .*, got torch.float64"),
     (lambda mel, mask, generator: None, "function must give a mel of .*, got NoneType"),
     (3, r"int must have draw and apply, or be a function \(mel, mask, generator\), and is neither"),
     (WaveAugment(), "features must be Wave with WaveAugment, which sees waves")],
)  # fmt: skip
def test_augmentations_that_break_a_rule_are_named(store, augment, message):
    with pytest.raises(ValueError, match=message):
        training_set(store, augment=(augment,)).__getitems__([0, 1])


def test_a_wave_of_another_length_is_named(waves):
    with pytest.raises(ValueError, match=r"OfWave must give a wave of float32 \(5360,\), as it got, got float32"):
        training_set(waves, augment=(OfWave(lambda wave, seed: wave[1:]),)).__getitems__([0, 1])


def test_wave_augmentations_have_seeds_of_their_own(waves):
    seeds = {"one": [], "two": []}
    augment = [OfWave(lambda wave, seed, name=name: seeds[name].append(seed) or wave) for name in seeds]
    training_set(waves, augment=augment).__getitems__([0, 1])
    alone, seeds["one"] = seeds["one"], []
    training_set(waves, augment=augment[:1]).__getitems__([0, 1])
    assert seeds["one"] == alone and len({*alone, *seeds["two"]}) == 4


def test_a_row_that_is_drawn_again_has_other_draws(waves):
    """Row 0 twice in a batch and once in a later one, and for a pseudo label; drawn once, its seed is as before."""
    seeds, plans = [], []
    augment = (OfWave(lambda wave, seed: seeds.append(seed) or wave),)
    draw_mix = lambda items, epoch, generator: plans.append(torch.rand(1, generator=generator).item())  # noqa: E731
    dataset = training_set(waves, 8, augment=augment, draw_mix=draw_mix, seed=5, rows=[0, 1, 0], n_real=2)
    batches = [Drawn([0, 0, 1, 2], [0, 1, 0, 0]), Drawn([0, 1], [2, 1])]
    mels = [dataset.__getitems__(batch).mel for batch in batches]
    assert len(set(seeds)) == 6 and len(set(plans)) == 2
    assert not torch.equal(mels[0][0], mels[1][0]), "the crop is another"
    once = [int(np.random.SeedSequence((5, 0, row)).generate_state(1)[0]) for row in (0, 1)]
    assert [seeds[0], seeds[2]] == once
    dataset.__getitems__([0, 1])
    assert seeds[6:] == once, "indices alone are drawn once"
    assert torch.equal(dataset.__getitems__(batches[1]).mel, mels[1]) and seeds[8:] == seeds[4:6]


@pytest.mark.parametrize("hop", [160, 400])
def test_a_front_end_of_ones_own_serves_its_frames(waves, hop):
    """Of as many frames as the log-mel those are valid that are there; of fewer, the same share."""

    def energy(wave):
        return wave.unfold(1, 400, hop).square().sum(2, keepdim=True)

    sizes = waves.index["frames"].to_numpy()[:2]
    long = waves.mel.n_frames(int(sizes.max())) + 20
    batch = training_set(waves, long, front=Wave(waves.mel, energy).make()).__getitems__([0, 1])
    n_frames = 1 + (waves.mel.n_samples(long) - 400) // hop
    assert batch.mel.shape == (2, n_frames, 1)
    shares = [waves.mel.n_frames(int(size)) / long for size in sizes]
    assert batch.mask.sum(1).tolist() == [int(np.ceil(round(share * n_frames, 6))) for share in shares]


@pytest.mark.parametrize(
    ("options", "message"),
    [({"frames": 0}, "a crop must have at least 1 frame or sample, got 0"),
     ({"lpc_order": 40}, r"lpc_order must be in \[0, 40\), 40 mel bins, got 40"), ({"lpc_order": -1}, "got -1")],
)  # fmt: skip
def test_bad_arguments_are_refused(store, options, message):
    with pytest.raises(ValueError, match=message):
        training_set(store, **options)


def test_crops_that_break_a_rule_are_refused(waves):
    with pytest.raises(ValueError, match="n must be at least 1, got 0"):
        EvenCrops(32, 0)
    with pytest.raises(ValueError, match=r"overlap must be in \[0, 32\), got 32"):
        WindowCrops(32, 32)
    with pytest.raises(ValueError, match=r"lpc_order must be in \[0, 400\), 400 samples a window, got 400"):
        Mels(waves, lpc_order=400)
