import pytest

from kit.competition.label_fields import FORMS, MARKS, label_form, label_list, split_labels


@pytest.mark.parametrize(
    ("field", "form", "names"),
    [
        ("great tit", "one", ("great tit",)),
        (" cat ", "one", (" cat ",)),  # as it stands: a class of its own, which opening tells of
        ("", "one", ()),
        ("a,b", ",", ("a", "b")),
        (" a , great tit ", ",", ("a", "great tit")),
        ("b;a;b", ";", ("b", "a")),
        ("a  b\tc", " ", ("a", "b", "c")),
        ("nan|None|007", "|", ("nan", "None", "007")),
        ("  ", ",", ()),
        ("['a', \"b's\"]", "list", ("a", "b's")),
        ("[7, '07']", "list", ("7", "07")),
        ("[]", "list", ()),
        ("", "list", ()),
    ],
)
def test_a_field_is_parted_by_its_form(field, form, names):
    assert split_labels(field, form) == names


@pytest.mark.parametrize("field", ["a,,b", ",a", "a,", ",", "a, ,b"])
def test_no_name_between_two_marks_is_a_fault(field):
    assert split_labels(field, ",") == f"must be names with one ',' between two, got {field!r}"


@pytest.mark.parametrize(
    "text",
    ["['a'", "a, b", "('a',)", "{'a'}", "[['a']]", "[1.5]", "[True]", "[None]", "[a]", "['a' + 'b']", "[open('x')]",
     "[" * 5000, "'a'", "[b'a']"],
)  # fmt: skip
def test_what_is_no_list_of_names_is_a_fault(text):
    assert label_list(text) == f"must be a list such as ['a', 'b'], got {text!r}"


def test_the_form_where_the_classes_are_known():
    classes = ("Bark", "Meow", "hot dog", "dog")
    assert label_form(["Bark", "Bark,Meow"], classes) == ","
    assert label_form(["Bark", "Bark,Wolf"], classes) == ","  # a label of training alone
    assert label_form(["Bark", "Bark,,Meow"], classes) == ","  # so that its fault is named
    assert label_form(["Bark;Meow", "hot dog;Bark"], classes) == ";"
    assert label_form(["hot dog", "Bark"], classes) == "one"
    assert label_form(["cold dog", "Bark"], classes) == "one"  # no list of the unknown and "dog"
    assert label_form(["Bark Meow", "Meow"], classes) == " "
    assert label_form(["x", "y"], classes) == "one" == label_form([], classes)
    assert label_form(["['Bark']", "[]"], classes) == "list"


def test_the_form_where_they_are_not():
    assert label_form(["hot", "dog", "hot dog"]) == " "
    assert label_form(["dog", "hot dog"]) == "one"
    assert label_form(["great tit", "blue tit", "great owl", "blue owl"]) == "one"  # no word stands alone
    assert label_form(["a", "b", "a,b", "a,b,c"]) == ","
    assert label_form(["a;b", "a", "b"]) == ";"
    assert label_form(["a", "a,, b"]) == "one"
    assert set(FORMS) == {"one", "list", *MARKS}
