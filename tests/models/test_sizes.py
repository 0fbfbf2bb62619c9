import pytest

from kit.models.sizes import Padding, find_padding


def net_of(rule):
    def features(image):
        if not rule(*image.shape[2:]):
            raise RuntimeError(f"no {tuple(image.shape[2:])}\nand more")
        return image

    return features


@pytest.mark.parametrize(
    "rule, padding",
    [
        (lambda high, wide: True, Padding(32, 1)),
        (lambda high, wide: min(high, wide) >= 75, Padding(96, 1)),
        (lambda high, wide: high % 4 == wide % 4 == 0, Padding(32, 4)),
        (lambda high, wide: high % 32 == wide % 32 == 0, Padding(32, 32)),
        (lambda high, wide: high % 7 == wide % 7 == 0, Padding(32, 14)),
    ],
)
def test_the_least_padding_that_works_is_taken(rule, padding):
    assert find_padding(net_of(rule), 40, 1, "net") == padding


def test_the_first_failure_is_told():
    with pytest.raises(ValueError) as caught:
        find_padding(net_of(lambda high, wide: (high, wide) == (224, 224)), 40, 1, "mine")
    assert str(caught.value) == (
        "name must name a net for images of any size, got 'mine', which fails at 40 × 32 pixels "
        "(RuntimeError: no (40, 32)), and when filled up to multiples of up to 256"
    )
