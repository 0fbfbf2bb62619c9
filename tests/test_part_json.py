"""Parts as strict JSON and back."""

import dataclasses
import json

import pytest

from kit.models.heads import Cosine
from kit.models.net import Net
from kit.models.pooling import GeM, Mean
from kit.part_json import address, build, from_json, shown, to_json
from kit.parts import Part


class Scaled:
    def __init__(self, width, factor=1.0, inner=None, rates=()):
        self.value = width * factor


def doubled(x, times=2):
    return x * times


@dataclasses.dataclass(frozen=True)
class Own:
    size: int = 3
    inner: object = Mean()


HERE = __name__


def round_trip(value):
    return from_json(json.loads(json.dumps(to_json(value), allow_nan=False)))


def test_a_part_of_the_kit_is_called_by_its_name_and_others_by_module_and_name():
    assert to_json(GeM(p=4.0)) == {"part": "GeM", "p": 4.0, "eps": 1e-6}
    assert to_json(Part(Scaled, factor=2.0)) == {"part": f"{HERE}:Scaled", "factor": 2.0}
    assert to_json(Own(2)) == {"part": f"{HERE}:Own", "size": 2, "inner": {"part": "Mean"}}
    assert to_json(doubled) == {"part": f"{HERE}:doubled"}
    assert address(Part(json.JSONDecoder)) == "json.decoder:JSONDecoder"


@pytest.mark.parametrize(
    "value",
    [
        GeM(p=4.0), Net(pooling=GeM(), head=Cosine()), Own(4, GeM()), Part(Scaled), Part(doubled, times=3),
        Part(Scaled, factor=2.0, inner=Own(1), rates=(1, 2.5, "a", None, True, (GeM(), 3))),
        (GeM(), Part(doubled)), 3, "text", None, True, (1, (2, 3)),
    ],
    ids=str,
)  # fmt: skip
def test_what_is_written_is_read_back(value):
    assert round_trip(value) == value


def test_a_bare_function_becomes_a_part_around_it():
    assert round_trip(Part(Scaled, inner=doubled)) == Part(Scaled, inner=Part(doubled))


def test_what_json_cannot_hold_is_named():
    with pytest.raises(ValueError, match=r"argument must be a number, a text, a part or a tuple of them, got \{1: 2\}"):
        to_json(Part(Scaled, factor={1: 2}))
    with pytest.raises(ValueError, match=r"a part must be defined at the top of a cell or a file, got .*<lambda>"):
        to_json(Part(lambda x: x))

    class Inside:
        pass

    with pytest.raises(ValueError, match=r"at the top of a cell or a file, got .*<locals>.Inside"):
        to_json(Part(Inside))


def test_a_finder_is_asked_for_what_is_not_the_kits():
    asked = []
    found = from_json(
        {"part": "Net", "pooling": {"part": "mine:Pool", "factor": 2}},
        lambda module, name: asked.append((module, name)) or Scaled,
    )
    assert found == Net(pooling=Part(Scaled, factor=2)) and asked == [("mine", "Pool")]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"part": "GeMM"}, r"^net\.pooling: no part 'GeMM' \(did you mean GeM\?\); there are AMSoftmax"),
        ({"part": "GeM", "q": 1}, r"^net\.pooling: GeM: no field 'q'; there are p, eps$"),
        ({"part": "GeM", "p": "3"}, r"^net\.pooling: p must be of type float, got '3'$"),
        ({"part": f"{HERE}:Scaled", "q": 1}, r"^net\.pooling: Scaled: no argument 'q'; the arguments are width, fac"),
        ({"part": f"{HERE}:Own", "q": 1}, r"^net\.pooling: Own: no field 'q'; there are size, inner$"),
        ({"part": f"{HERE}:Gone"}, rf"part {HERE}:Gone can't be imported: module .* has no attribute 'Gone'$"),
        ({"part": "no_such_module:A"}, r"part no_such_module:A can't be imported: No module named 'no_such_module'$"),
        ({"part": 3}, r"^net\.pooling must be an object with a text \"part\", got \['part'\]$"),
        ({"p": 3.0}, r"^net\.pooling must be an object with a text \"part\", got \['p'\]$"),
    ],
)
def test_the_place_of_a_fault_is_named(value, message):
    with pytest.raises(ValueError, match=message):
        from_json(value, where="net.pooling")


def test_build_refuses_unknown_fields():
    assert build(Own, {"size": 5}) == Own(5)
    with pytest.raises(ValueError, match=r"^Own: no field 'sise' \(did you mean size\?\); there are size, inner$"):
        build(Own, {"sise": 5})


def test_tables_show_what_is_not_at_its_default():
    assert shown(GeM()) == "GeM" and shown(GeM(p=4.0)) == "GeM(p=4.0)" and shown(None) == "none" and shown(3) == "3"
    assert shown(Net(head=Cosine(scale=8.0))) == "Net(head=Cosine(scale=8.0))"
    assert shown(Part(Scaled, factor=2.0)) == "Scaled(factor=2.0)"
