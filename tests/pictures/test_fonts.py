"""Names in every script: drawn by a font that has their letters and shaped, or left out and named; never a box."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont, features

from stylex.pictures import fonts
from stylex.pictures.fonts import MISSING, OWN, Type, covered, font_for, runs, undrawable
from stylex.pictures.render import captioned, grid

NAMES = {
    "Chinese": "猫",
    "Japanese": "ネコ",
    "Korean": "고양이",
    "Thai": "แมว",
    "Hindi": "बिल्ली",
    "Arabic": "قطة",
    "Hebrew": "חתול",
    "an emoji": "🍄",
    "a family": "👩‍👩‍👧",
}
FOREIGN = ["Chinese", "Japanese", "Korean", "Thai", "Hindi", "an emoji"]
RAQM = pytest.mark.skipif(not features.check("raqm"), reason="this Pillow has no Raqm")


@pytest.fixture(autouse=True)
def _fresh():
    """What was found out about fonts holds for one test."""

    def clear() -> None:
        for function in (runs, font_for, covered, fonts._in_folders):
            function.cache_clear()

    clear()
    yield
    clear()


@pytest.fixture
def bare(monkeypatch) -> None:
    """A system without any font."""
    monkeypatch.setattr(fonts, "candidates", lambda letters: [])


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A system whose one font has pictures of these letters: those of DejaVu for the Greek capitals, renamed."""

    def install(letters: str):
        path = tmp_path / "fonts" / "Sans-Regular.ttf"
        path.parent.mkdir(exist_ok=True)
        shutil.copy(OWN, path)
        real = covered.__wrapped__
        monkeypatch.setattr(
            fonts,
            "covered",
            lambda file, index=0: real(file, index) | (set(map(ord, letters)) if file == path else set()),
        )
        monkeypatch.setattr(fonts, "FOLDERS", (str(path.parent),))
        monkeypatch.setattr(shutil, "which", lambda program: None)
        return path

    return install


def drawn(text: str, size: int = 30) -> np.ndarray:
    image = Image.new("L", (400, 60), 255)
    Type(size).draw(ImageDraw.Draw(image), (5, 45), text, 0)
    return np.asarray(image)


# What our own font can draw.


def test_what_our_font_has_is_drawn_as_before(bare):
    for text in ("healthy  12.3 % → 87.0 %", "Ångström Ω ß", "", "größer ≥ 1"):
        face = ImageFont.truetype(OWN, 30, layout_engine=ImageFont.Layout.BASIC)
        image = Image.new("L", (400, 60), 255)
        ImageDraw.Draw(image).text((5, 45 - face.getmetrics()[0]), text, 0, face)
        assert np.array_equal(drawn(text), np.asarray(image))
        assert Type(30).getlength(text) == face.getlength(text)
        assert undrawable([text]) == []


@RAQM
def test_letters_that_join_and_run_from_the_right_are_shaped(bare):
    shaped = ImageFont.truetype(OWN, 30, layout_engine=ImageFont.Layout.RAQM)
    plain = ImageFont.truetype(OWN, 30, layout_engine=ImageFont.Layout.BASIC)
    for name in ("قطة", "قطة سوداء"):
        assert undrawable([name]) == []
        assert Type(30).getlength(name) == shaped.getlength(name)
    image = Image.new("L", (400, 60), 255)
    ImageDraw.Draw(image).text((5, 45), "قطة", 0, plain, anchor="ls")
    assert not np.array_equal(drawn("قطة"), np.asarray(image))


@RAQM
def test_numbers_stay_right_of_a_name_that_runs_from_the_right(bare):
    name, numbers = "قطة", "  12.3 % → 87.0 %"
    assert [run.text for run in runs(name + numbers)] == [name, numbers]


# What it cannot.


@pytest.mark.parametrize("script", FOREIGN)
def test_without_a_font_a_name_is_left_out_and_named(bare, script):
    name = NAMES[script]
    assert undrawable(["cat", name, name]) == [name]
    assert np.array_equal(drawn(f"{name} 12 %"), drawn(f"{MISSING} 12 %"))
    assert captioned(Image.new("RGB", (64, 64)), f"{name}  12.3 % → 87.0 %").width == 256


@pytest.mark.parametrize("script", ["Arabic", "Hebrew", "Thai", "Hindi"])
def test_without_raqm_nothing_is_drawn_backwards_or_apart(bare, monkeypatch, script):
    monkeypatch.setattr(features, "check", lambda feature: False)
    assert undrawable([NAMES[script]]) == [NAMES[script]]
    assert np.array_equal(drawn(NAMES[script]), drawn(MISSING))


@pytest.mark.parametrize("script", ["Chinese", "Japanese", "Korean", "an emoji"])
def test_a_font_of_the_system_that_has_the_letters_is_taken(installed, script):
    path = installed(NAMES[script])
    assert undrawable([NAMES[script]]) == []
    assert [run.font for run in runs(f"{NAMES[script]} 12 %")] == [(path, 0), (OWN, 0)]


@RAQM
@pytest.mark.parametrize("script", ["Thai", "Hindi"])
def test_and_shaped_where_its_script_is(installed, script):
    path = installed(NAMES[script])
    (run,) = runs(NAMES[script])
    assert (run.font, run.shaped) == ((path, 0), True)


def test_each_of_two_scripts_has_a_font_or_none(installed):
    path = installed(NAMES["Chinese"])
    assert [run.font for run in runs("猫🍄")] == [(path, 0), None]
    assert undrawable(["猫🍄", "猫"]) == ["猫🍄"]


@pytest.mark.parametrize("script", NAMES)
def test_whatever_is_installed_here_nothing_breaks(script):
    name = NAMES[script]
    sheet = grid([[Image.new("RGB", (32, 32))] * 2], column_titles=[name, f"{name} {name}"], row_titles=[name])
    assert sheet.height > 32


def test_a_font_that_is_none_covers_nothing(tmp_path):
    for content in (b"", b"ttcf", b"\0\1\0\0\0\x09", OWN.read_bytes()[:3000]):
        (tmp_path / "a.ttf").write_bytes(content)
        covered.cache_clear()
        assert covered(tmp_path / "a.ttf") == frozenset()
    assert covered(tmp_path / "none.ttf") == frozenset()


def test_our_font_is_read_right():
    letters = covered(OWN)
    assert {ord(c) for c in "aÅ→Ωقя…"} <= letters
    assert not {ord(c) for c in "猫고แब"} & letters
