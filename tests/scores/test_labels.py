import pytest

from lingarith.errors import LingarithError
from lingarith.scores.labels import accuracy, label, macro_f1


def test_labels_are_compared_without_their_dress():
    assert label(" Science/ Technology.\n") == "science/ technology"
    assert label("Sau\u0301de") == label("saúde") == "saúde"
    assert label("STRASSE") == label("straße")
    assert label("c++") == label("c")  # punctuation around a label is taken for the sentence's
    assert accuracy(["Sports!", "sport", ""], [["sports"], ["sports", "sport"], ["sports"]]).tolist() == [100, 100, 0]


def test_macro_f1_by_hand():
    # a: precision 1/2, recall 1/1; b: precision 1/1, recall 1/3; the output that is no label is a miss of b alone
    assert macro_f1(["a", "a", "?", "b"], [["a"], ["b"], ["b"], ["b"]]) == pytest.approx(100 * (2 / 3 + 1 / 2) / 2)
    assert macro_f1(["b"], [["a", "b"]]) == 100
    assert macro_f1(["x"], [["a"]]) == 0


def test_bad_input():
    for score in (accuracy, macro_f1):
        with pytest.raises(LingarithError, match="1 outputs and references for 2"):
            score(["a"], [["a"], ["b"]])
