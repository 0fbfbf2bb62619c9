"""Parts: checked when they are made, changed by name, frozen."""

import dataclasses

import pytest

from kit.parts import Part, above, at_least, but, fraction, make, one_of, ordered, part, share, walk


@part
class Inner:
    size: int = 3
    rate: float = 0.5

    def check(self):
        at_least(self, 1, "size")
        fraction(self, "rate")


@part
class Outer:
    inner: Inner = Inner()
    names: tuple = ()
    label: str = "a"
    maybe: float | None = None

    def make(self, factor):
        return self.inner.size * factor


def doubled(x, times=2):
    return x * times


class Scaled:
    def __init__(self, width, factor=1.0):
        self.value = width * factor


def test_fields_are_checked_by_type_when_a_part_is_made():
    assert Inner(size=4, rate=0).rate == 0
    for fields, message in (
        ({"size": "4"}, "size must be of type int, got '4'"),
        ({"size": True}, "size must be of type int, got True"),
        ({"size": 2.0}, "size must be of type int, got 2.0"),
        ({"size": 0}, "size must be at least 1, got 0"),
        ({"rate": 1.0}, r"rate must be in \[0, 1\), got 1.0"),
        ({"rate": float("inf")}, "rate must be finite, got inf"),
        ({"rate": float("nan")}, "rate must be finite, got nan"),
        ({"size": 2**64}, "size must fit in 64 bits, got a number of 65 bits"),
    ):
        with pytest.raises(ValueError, match=f"^{message}$"):
            Inner(**fields)
    with pytest.raises(ValueError, match="maybe must be of type float or NoneType, got 'x'"):
        Outer(maybe="x")
    with pytest.raises(ValueError, match="label must be of type str, got 3"):
        Outer(label=3)


def test_rules_name_field_rule_and_value():
    @part
    class All:
        x: float = 1.0
        pair: tuple = (0, 1)
        word: str = "a"

    for rule, value, message in (
        (lambda v: above(v, 0, "x"), All(x=0.0), "x must be above 0, got 0.0"),
        (lambda v: share(v, "x"), All(x=1.5), r"x must be in \[0, 1\], got 1.5"),
        (lambda v: one_of(v, "word", ("b", "c")), All(), "word must be one of b, c, got 'a'"),
        (lambda v: ordered(v, "pair"), All(pair=(2, 1)), r"pair must be \(low, high\) with low <= high, got \(2, 1\)"),
        (lambda v: ordered(v, "pair"), All(pair=(1,)), r"pair must be \(low, high\) with low <= high, got \(1,\)"),
    ):
        with pytest.raises(ValueError, match=f"^{message}$"):
            rule(value)
    share(All(x=1.0), "x")
    ordered(All(pair=(1, 1)), "pair")


def test_but_changes_what_its_double_underscores_name_and_leaves_the_original():
    first = Outer()
    second = but(first, {"inner__size": 7, "label": "b"})
    assert (second.inner.size, second.inner.rate, second.label) == (7, 0.5, "b")
    assert first == Outer()
    assert but(Outer(), {"inner": Inner(2), "inner__rate": 0.1}).inner == Inner(2, 0.1)


def test_a_typo_lists_the_names_and_the_nearest():
    with pytest.raises(ValueError, match=r"Outer: no field 'lable' \(did you mean label\?\); there are inner, names"):
        but(Outer(), {"lable": "b"})
    with pytest.raises(ValueError, match=r"Inner: no field 'sise' \(did you mean size\?\); there are size, rate"):
        but(Outer(), {"inner__sise": 1})
    for slip in ("size", "inner_size"):
        with pytest.raises(ValueError, match=rf"^Outer: no field '{slip}' \(did you mean inner__size\?\)$"):
            but(Outer(), {slip: 1})
    with pytest.raises(ValueError, match="Outer: label is no part and has no fields, got 'x'"):
        but(Outer(), {"label__x": 1})
    with pytest.raises(ValueError, match="size must be at least 1, got 0"):
        but(Outer(), {"inner__size": 0})


def test_a_part_of_ones_own_knows_its_arguments_at_once():
    with pytest.raises(ValueError, match="Scaled: no argument 'facto'; the arguments are width, factor"):
        Part(Scaled, facto=2)
    with pytest.raises(ValueError, match="doubled: no argument 'time'; the arguments are x, times"):
        Part(doubled, time=2)
    with pytest.raises(ValueError, match="a part must be a function or a class, got 3"):
        Part(3)


def test_make_gives_what_does_the_work():
    assert make(Outer(), 5) == 15
    assert make(Inner()) == Inner()
    assert make(Part(Scaled, factor=0.5), 8).value == 4.0
    assert make(Part(doubled, times=3))(2) == 6
    assert make(Part(doubled)) is doubled
    with pytest.raises(ValueError, match=r"Scaled\(width, factor\) is called with 3 values"):
        make(Part(Scaled), 1, 2, 3)


def test_parts_of_ones_own_are_values():
    one = Part(Scaled, factor=2.0)
    assert one == Part(Scaled, factor=2.0) and hash(one) == hash(Part(Scaled, factor=2.0))
    assert one != Part(Scaled, factor=3.0) and one != Part(doubled)
    assert repr(one) == "Part(Scaled, factor=2.0)"
    assert but(one, {"factor": 4.0}) == Part(Scaled, factor=4.0)
    with pytest.raises(ValueError, match="Scaled: no field 'facto'"):
        but(one, {"facto": 4.0})
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.target = doubled
    with pytest.raises(dataclasses.FrozenInstanceError):
        Inner().size = 4


def test_walk_visits_what_stands_inside_functions_included():
    @part
    class Holder:
        items: tuple = ()
        function: object = None

    seen = list(walk(Holder((Inner(1), Inner(2)), doubled)))
    assert seen[1:] == [Inner(1), Inner(2), Part(doubled)]
    assert list(walk(3)) == []
