"""A recipe's file is read, not run."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from counterpoint import signature
from counterpoint.errors import RecipeError

OWN = '''"""Own: what it does.

Source: A. Author 2026,
    equation 1.

More.
"""
raise RuntimeError("this file must never be imported")

@recipe
def own(
    facts: Facts,
    encoder: Encoder,
    *,
    temperature: float = 5e-1,  # divides a cosine
    steps: int = -3,
    policy: str | None = None,  # of the views,
    # or what suits the source
    sizes: tuple[int, ...] = (1, 2),  # noqa: E501
    deep: bool = True,  # or flat
) -> Recipe:
    return Recipe(pairing=SameClass(), objective=Contrast(temperature))


@counterpoint.recipe
def other(facts, encoder):
    """Second — another one."""


def plain(facts, encoder, *, x: int = 1): ...


@preset(own, encoder="resnet18", size=32, temperature=0.1, sizes=(3,))
def published(made):
    """As it was published.

    More.
    """


@counterpoint.preset(other)
def bare(made): ...
'''


@pytest.fixture
def own(tmp_path: Path) -> Path:
    path = tmp_path / "own.py"
    path.write_text(OWN)
    return path


def test_what_a_file_declares(own: Path) -> None:
    read = signature.read(own, "own")
    assert (read.name, read.title, read.summary) == ("own", "Own", "what it does.")
    assert read.source == "A. Author 2026, equation 1."
    assert read.parts == (("pairing", "SameClass"), ("objective", "Contrast"))
    assert read.needs_labels
    assert [(d.name, d.annotation, d.default, d.help) for d in read.dials] == [
        ("temperature", "float", 0.5, "divides a cosine"),
        ("steps", "int", -3, ""),
        ("policy", "str | None", None, "of the views, or what suits the source"),
        ("sizes", "tuple[int, ...]", (1, 2), ""),
        ("deep", "bool", True, "or flat"),
    ]


def test_presets_belong_to_their_recipe(own: Path) -> None:
    (found,) = signature.read(own, "own").presets
    assert (found.name, found.summary, found.encoder) == ("published", "As it was published.", "resnet18")
    assert found.dials == {"temperature": 0.1, "sizes": (3,)}
    assert found.size == 32
    assert found.flags == "--encoder resnet18 --temperature 0.1 --sizes (3,)"
    switch = signature.Preset("made", "", None, {"deep": True, "batch_norm": False})
    assert switch.flags == "--deep --no-batch-norm"
    (found,) = signature.read(own, "other").presets
    assert (found.name, found.summary, found.encoder, found.dials, found.flags) == ("bare", "", None, {}, "")
    with pytest.raises(RecipeError, match="own has no preset 'publshed'; did you mean 'published'"):
        signature.read(own, "own").preset("publshed")


def test_a_second_recipe_of_a_file_is_introduced_by_its_function(own: Path) -> None:
    read = signature.read(own, "other")
    assert (read.title, read.summary, read.source, read.dials, read.needs_labels) == (
        "Second",
        "another one.",
        "",
        (),
        False,
    )


@pytest.mark.parametrize(
    ("text", "name", "said"),
    [
        ("def f(:", "f", "line 1: this is not valid Python"),
        (OWN, "plain", "has no function 'plain' decorated with @recipe; known: other, own"),
        (OWN, "owm", "did you mean 'own'?"),
        ("@recipe\ndef f(facts, encoder, *, x: int): ...", "f", "the dial 'x' of f has no default"),
        ("@recipe\ndef f(facts, encoder, *, x: int = g()): ...", "f", "must have a literal default, got g()"),
        ("@recipe\ndef f(facts, encoder, *, x: dict = {}): ...", "f", "must be a number, a word, a tuple or None"),
        (OWN.replace("temperature=0.1", "temprature=0.1"), "own", "did you mean 'temperature'?"),
        (OWN.replace("temperature=0.1", "temperature=g()"), "own", "must give literals, got g()"),
    ],
)
def test_a_file_that_cannot_be_read_as_a_recipe(tmp_path: Path, text: str, name: str, said: str) -> None:
    path = tmp_path / "bad.py"
    path.write_text(text)
    with pytest.raises(RecipeError, match=re.escape(str(path))) as error:
        signature.read(path, name)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_a_recipe_outside_the_package_is_found_by_its_import_path(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "lab" / "methods"
    package.mkdir(parents=True)
    (tmp_path / "lab" / "__init__.py").write_text("raise RuntimeError('imported')")
    (package / "__init__.py").write_text("")
    (package / "mine.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    assert signature.locate(f"{own}:own") == (own, "own")
    assert signature.find("own:own").name == "own:own"
    assert signature.find("lab.methods.mine:other").path == package / "mine.py"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("lost.py:f", "there is no file lost.py"),
        ("lab.lost:f", "there is no module 'lab"),
        ("json.lost:f", "there is no module 'json.lost'"),
        ("math:f", "is no Python file"),
        ("json:loads", "has no function 'loads' decorated with @recipe"),
        ("own:", "names no recipe"),
        ("simclear", "did you mean 'simclr'?"),
    ],
)
def test_a_recipe_that_is_not_there(name: str, said: str) -> None:
    with pytest.raises(RecipeError) as error:
        signature.find(name)
    assert said in str(error.value)


def test_the_packages_recipes() -> None:
    known = signature.recipes()
    assert {"simclr", "supcon", "supervised"} <= set(known)
    for name, read in known.items():
        assert read.path.stem == name
        assert read.title
        assert read.summary
        assert read.source
        assert {"pairing", "objective"} <= dict(read.parts).keys()
        for dial in read.dials:
            assert dial.help, f"the dial {dial.name} of {name} has no comment that explains it"


CONDITIONS = """
@recipe
def own(facts, encoder, *, form: str = "one", count: int = 0, width: int | None = None):
    one = form == "one"
    bank = Bank(count, 3 if count else None)
    width = width or encoder.width
    return Recipe(
        pairing=SameClass() if one and not count else SameSample(),
        negatives=Branches(bank, scale=max(1, count)),
        target=Same() if width else MovingAverage(Linear(0.1, count)),
        objective=targets.Two() if form in ("two", "three") else targets.One(count),
        batch_size=256,
    )
"""


def test_parts_are_those_of_default_dials(tmp_path: Path) -> None:
    path = tmp_path / "own.py"
    path.write_text(CONDITIONS)
    read = signature.read(path, "own")
    assert dict(read.parts) == {
        "pairing": "SameClass",
        "negatives": "Branches(Bank)",
        "target": "Same or MovingAverage(Linear)",
        "objective": "One",
        "batch_size": "",
    }
    assert read.needs_labels


def test_it_agrees_with_python() -> None:
    """What is read from the text is what the imported functions and pairings say of themselves."""
    import importlib
    import inspect

    from counterpoint import pairing
    from counterpoint.cli.methods import composed

    for name, read in signature.recipes().items():
        module = importlib.import_module(f"counterpoint.recipes.{name}")
        function = inspect.unwrap(getattr(module, name))
        keywords = [p for p in inspect.signature(function).parameters.values() if p.kind is p.KEYWORD_ONLY]
        assert [(d.name, d.default) for d in read.dials] == [(p.name, p.default) for p in keywords]
        called = dict(read.parts)["pairing"]
        assert read.needs_labels == getattr(pairing, called).needs_labels
        made = composed(name)
        for stage in ("pairing", "target", "negatives", "objective"):
            told = dict(read.parts).get(stage, "Same")
            assert made[stage].startswith(f"{told.partition('(')[0]}(")


def test_reading_imports_nothing_heavy() -> None:
    code = (
        "import sys, counterpoint.signature as s; s.recipes();"
        "print([m for m in ('torch', 'numpy', 'PIL', 'sklearn', 'pyarrow') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_list_of_methods_needs_no_torch() -> None:
    code = (
        "import sys; from counterpoint.cli.methods import methods\n"
        "methods([], standalone_mode=False); print([m for m in ('torch', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert "SameSample · MovingAverage · Queue · Contrast" in done.stdout
