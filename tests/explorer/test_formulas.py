"""The formulas of the page: well-formed, with slots that the page fills and nothing else."""

import re
from xml.etree import ElementTree

import pytest

from softgrad.derivation import derive
from softgrad.derivation._notation import Branches, Word, notation
from softgrad.explorer._formulas import formulas
from softgrad.explorer._slots import with_names, with_slots

EACH_CLASS = {"name_i", "exp_i", "delta_ik"}


@pytest.mark.parametrize(("name", "text"), formulas().items())
def test_a_formula_is_one_element(name, text):
    element = ElementTree.fromstring(text)
    assert element.tag == ("section" if name.startswith("steps-") else "math")


def test_slots_are_those_that_the_page_knows():
    slots = {name: set(re.findall(r"\{(\w+)\}", text)) - {"each"} for name, text in formulas().items()}
    assert slots["steps-general"] == {"name_j", "name_k", "exp_j", "exp_k", "total", *EACH_CLASS}
    assert slots["steps-same"] == {"name_k", "exp_k", "total", "p_k"}
    assert slots["steps-other"] == {"exp_j", "exp_k", "total", "p_j", "p_k"}
    assert slots["jacobian-value"] == {"name_j", "name_k", "value"}
    assert not slots["jacobian-entry"] | slots["jacobian-same"] | slots["jacobian-other"]


def test_the_values_of_all_classes_are_where_the_page_repeats():
    for text in formulas().values():
        element = ElementTree.fromstring(text)
        for row in [row for row in element.iter("mrow") if len(row) and row[0].text == "{each}"]:
            row.clear()
        assert not {f"{{{slot}}}" for slot in ("each", *EACH_CLASS)} & set(element.itertext())


def test_lines_with_numbers_have_no_symbol_left():
    general, same, other, *_ = derive("softmax").sections
    for step in (*general.steps, *same.steps, *other.steps):
        lines = repr(with_slots(notation(step.after)))
        assert "Summation" not in lines
        assert "σ" not in lines


def test_what_has_no_slot_is_refused():
    with pytest.raises(TypeError, match="no slots for Branches"):
        with_slots(Branches(()))
    with pytest.raises(TypeError, match="no names for Word"):
        with_names(Word("x"))
