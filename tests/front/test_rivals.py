"""Who a classifier can be compared with, and what the page then says of the two."""

from __future__ import annotations

import copy

import gradio as gr
import pytest
import torch
from small import tiny_classifier

from front import versus_views
from front.handlers.judging import Judging
from front.models import Exhibit, Shelf, Wish
from front.rivals import against, classifiers, rivals
from stylex import StylEx


@pytest.fixture(scope="module")
def shelf(tiny_model, pictures, classifier_folder) -> Shelf:
    """A model with a judge, one of the same classes, and one of others."""
    samples = {p.stem: p for c in ("plain", "spotted") for p in sorted((pictures / c).glob("*.png"))[:3]}
    with torch.random.fork_rng():
        torch.manual_seed(7)
        judged = copy.copy(tiny_model)
        judged.judge = tiny_classifier(("spotted", "plain")).eval()
        foreign = StylEx(tiny_model.config, tiny_classifier(("a", "b")), stats=tiny_model.stats)
    shown = {"one": judged, "two": tiny_model, "three": foreign}
    wanted = [Wish(name, ".", exhibit=Exhibit(name, model, samples)) for name, model in shown.items()]
    return Shelf(wanted, classifiers=classifiers(str(classifier_folder)))


def test_its_judge_the_host_s_and_the_others_of_the_same_classes(shelf, classifier_folder):
    named = "/".join(classifier_folder.parts[-2:])
    assert list(rivals(shelf, shelf.get("one"))) == ["judge", named, "two"]
    assert list(rivals(shelf, shelf.get("two"))) == [named, "one", "one/judge"]
    assert list(rivals(shelf, shelf.get("three"))) == []


def test_a_folder_that_holds_no_classifier_is_left_out_with_a_warning(tmp_path, capsys):
    assert classifiers(f" ,{tmp_path}") == {}
    assert f"warning: STYLEX_CLASSIFIERS names {tmp_path}, which cannot be compared with" in capsys.readouterr().err


def test_the_page_says_where_they_disagree_and_what_moves_the_one_alone(shelf):
    found = against(shelf, shelf.get("one"), "judge")
    page = versus_views.page(found)
    assert page.startswith("<div class='sx-bar'><div><h2>The classifier of one, and its own second judge</h2>")
    agree = len(found.files) - len(found.disagree)
    assert f"They agree on {agree} of the 6 pictures" in page
    assert page.count("class='sx-method sx-duel'") == len(found.examples) > 0
    assert page.count("<tr>") == 1 + len(found.moved)
    assert page.count("<img") == page.count(" alt='")


def test_two_that_agree_everywhere_are_said_to(shelf):
    page = versus_views.page(against(shelf, shelf.get("two"), "one"))  # the same classifier
    assert "Nowhere: they call every sample picture the same." in page
    assert "They agree on 6 of the 6 pictures, and on 6 of the reconstructions." in page


def test_a_rival_is_chosen_seen_once_and_follows_the_model(shelf, classifier_folder):
    do = Judging(shelf)
    choice, seen, page = do.show_duel("one", None)
    assert (choice["value"], choice["visible"], seen) == ("judge", True, ("one", "judge"))
    assert choice["choices"][0] == ("its own second judge", "judge")
    assert do.show_duel("one", "judge", seen) == gr.skip()
    assert do.show_duel("one", "judge")[2] is page  # computed once for all visitors
    assert do.show_duel("one", "two", seen)[1] == ("one", "two")
    assert do.show_duel_again("picture", "two", "judge", seen) == gr.skip()
    _, seen, _ = do.show_duel_again("versus", "two", "judge", seen)  # which "two" does not have
    assert seen == ("two", "/".join(classifier_folder.parts[-2:]))
    choice, seen, page = do.show_duel("three", "judge", seen)
    assert (choice["visible"], seen, page) == (False, None, versus_views.ALONE)


def test_a_rival_that_is_not_here_is_refused_in_one_sentence(shelf):
    with pytest.raises(ValueError, match=r"there is no second classifier 'x' for one; choose one of judge, .*, two$"):
        against(shelf, shelf.get("one"), "x")
    with pytest.raises(
        ValueError, match=r"there is no second classifier '' for three; none is here for these classes$"
    ):
        against(shelf, shelf.get("three"), "")
