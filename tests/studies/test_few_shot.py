import numpy as np
import pytest

from kit.competition.competition import open_competition
from kit.demos.demo import make_keywords
from kit.studies import base_nets, few_shot
from kit.studies.session_draws import Method, run_methods


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """The demo's words in little: what the protocol makes of them, and two nets that hardly trained."""
    home = tmp_path_factory.mktemp("words")
    folder = make_keywords(home / "data", 4, n_speakers=4, n_takes=1, n_test_speakers=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        protocol, store, splits, features = few_shot.packed(open_competition(folder), seed=0, shots=2)
        base = base_nets.base_net("tiny", features, protocol, updates=6)
        nets, facts = base_nets.train_nets([base, few_shot.with_views(base)], store, splits, protocol, home, n_jobs=1)
    return protocol, store, splits, base, nets, facts


def test_nets_learn_the_base_words_and_show_every_row_in_three_views(world):
    protocol, store, splits, base, nets, facts = world
    assert protocol.n_base == 2 and base.session.n_base == 2 and base.loop.keep == "last"
    assert facts["net"].tolist() == ["speech net", "LPC net"] and facts["updates"].tolist() == [6, 6]
    assert facts[["train_accuracy", "fitted", "valid"]].stack().between(0, 1).all() and (facts["minutes"] > 0).all()
    for net in nets:
        assert net.shots.shape == (len(splits[0].train), 3, 16) and net.test.shape == (len(splits[0].test), 16)
    assert not few_shot.nets_told(facts).isna().any(axis=None)


def test_a_frozen_net_has_imagenets_weights_and_one_view(world):
    protocol, store, splits, base, _, _ = world
    pytest.importorskip(base_nets.PACKAGE)
    (net,) = base_nets.frozen_nets(base_nets.frozen_net(base), store, splits)
    assert net.shots.shape == (len(splits[0].train), 1, 1280) and net.test.shape == (len(splits[0].test), 1280)
    assert net.net == "ImageNet net" and net.shots.std() > 0


def test_a_frozen_net_without_its_package_says_what_to_install(world, monkeypatch):
    monkeypatch.setattr(base_nets, "PACKAGE", "no_such_package")
    with pytest.raises(FileNotFoundError, match="are in the package no_such_package: pip install no_such_package"):
        base_nets.frozen_net(world[3])


def test_the_page_has_every_method_and_pair(world):
    protocol, store, splits, _, nets, facts = world
    methods = [Method(one.name, one.net if one.net != "ImageNet net" else "speech net", one.recipe)
               for one in few_shot.METHODS]  # fmt: skip
    target = store.index["target"].to_numpy()
    sessions = run_methods(methods, nets, splits, target, protocol, n_draws=2)
    assert all(np.isin(values, range(4)).all() for values in sessions.predicted.values())
    page = few_shot.page(sessions, facts, splits, "--data x")
    assert "`python -m kit.studies.few_shot --data x`" in page and "nan" not in page.lower().replace("finance", "")
    for method in few_shot.METHODS:
        assert f"\n| {method.name} | " in page
    for ours, theirs in few_shot.PAIRS:
        assert page.count(f"| {ours} − {theirs} |") == 3
