from kit.competition.names import near_equal, nfc, told

CAFE, CAFE_IN_TWO = "caf\u00e9", "cafe\u0301"


def test_names_that_look_alike_are_grouped():
    names = [
        "cat",
        "dog",
        "cat ",
        "Cat",
        CAFE,
        CAFE_IN_TWO,
        "great tit",
        "great_tit",
        "great\u00a0tit",
        "a\u200bb",
        "ab",
    ]
    assert near_equal(names) == [
        ["cat", "cat ", "Cat"], [CAFE, CAFE_IN_TWO], ["great tit", "great_tit", "great\u00a0tit"], ["a\u200bb", "ab"],
    ]  # fmt: skip
    assert (
        near_equal(["1", "-1", "10", "s1", "s10", "a", "\u0430"]) == []
    )  # the last is Cyrillic, which is another word


def test_one_form_of_accents():
    assert nfc(CAFE_IN_TWO) == CAFE == nfc(CAFE) and nfc("plain") == "plain"


def test_what_differs_is_printed():
    assert told("cat ") == "'cat '"
    assert told(CAFE) == "'caf\\xe9'" and told(CAFE_IN_TWO) == "'cafe\\u0301'"
    assert told("a\tb") == "'a\\tb'"
