"""What a person types, and what is said back."""

import errno
import json
import shlex
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

import counterpoint
import counterpoint.studies.league  # before `counterpoint.app` is replaced, of which it needs the real one
from counterpoint import cli
from counterpoint._version import __version__
from counterpoint.errors import DivergenceError, SourceError


class Shell:
    """Runs the command line inside the test, on an application that only notes how it was called."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
        self.fails: BaseException | None = None
        self.capfd = capfd
        app: Any = ModuleType("counterpoint.app")
        for name, answer in {
            "train": None,
            "evaluate": "the scores",
            "show_table": None,
            "write_report": Path("runs/first/report.html"),
            "embed": Path("out.parquet"),
            "describe": "its parts",
        }.items():
            setattr(app, name, self._noting(name, answer))
        monkeypatch.setitem(sys.modules, "counterpoint.app", app)
        monkeypatch.setattr(counterpoint, "app", app, raising=False)

    def _noting(self, name: str, answer: Any) -> Any:
        def called(*args: Any, **kwargs: Any) -> Any:
            self.calls.append((name, args, kwargs))
            if self.fails is not None:
                raise self.fails
            return answer

        return called

    def __call__(self, line: str) -> SimpleNamespace:
        with pytest.raises(SystemExit) as left:
            cli.main(shlex.split(line))
        written = self.capfd.readouterr()
        return SimpleNamespace(code=left.value.code, out=written.out, err=written.err)

    @property
    def given(self) -> dict[str, Any]:
        """The keyword arguments of the one call."""
        assert len(self.calls) == 1
        return self.calls[0][2]


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Shell:
    return Shell(monkeypatch, capfd)


# ---------------------------------------------------------------- train


def test_only_what_was_typed_is_passed(shell: Shell) -> None:
    done = shell("train simclr")
    assert (done.code, done.out) == (0, "")
    assert done.err == f"counterpoint {__version__} · train simclr on digits\n"
    name, args, given = shell.calls[0]
    assert (name, args) == ("train", ("simclr",))
    assert given == {
        **dict.fromkeys(
            [
                "source",
                "root",
                "size",
                "labels",
                "labels_from",
                "clusters",
                "group",
                "encoder",
                "out",
                "seed",
                "config",
                "warm_from",
                "max_time",
            ]
        ),
        **dict.fromkeys(
            ["evaluate_every", "checkpoint_every", "keep", "accelerator", "devices", "num_nodes", "preset"]
        ),
        **dict.fromkeys(["precision", "channels_last", "test_share", "bad_share", "memory", "cache", "micro_batch"]),
        **dict.fromkeys(["resume", "dry_run", "tensorboard", "download", "quiet"], False),
        "evaluate": True,
        "report": True,
        "dials": {},
        "settings": {},
        "command": "counterpoint train simclr",
    }


def test_every_flag_arrives(shell: Shell) -> None:
    line = (
        "train --source folder --batch-size 64 simclr --root 'my photos' --size 48 --labels a.csv --group burst "
        "--encoder tiny --out runs/a --seed 3 --temperature 0.2 --policy none --set objective.temperature=0.1 "
        "--set a.b=c=d --max-time 1h30m --evaluate-every 5 --no-evaluate --no-report --checkpoint-every 2 --keep 4 "
        "--accelerator cpu --devices 2 --num-nodes 1 --precision 32-true --channels-last no "
        "--micro-batch 128 --tensorboard --download "
        "--memory 2GiB --cache none --preset cifar --labels-from runs/b --clusters 20 "
        "--test-share 0.3 --bad-share 0.5 --dry-run --from timm:resnet18 --quiet"
    )
    done = shell(line)
    assert (done.code, done.out, done.err) == (0, "", "")
    assert shell.given == {
        "source": "folder",
        "root": Path("my photos"),
        "size": 48,
        "labels": "a.csv",
        "labels_from": "runs/b",
        "clusters": 20,
        "group": "burst",
        "test_share": 0.3,
        "bad_share": 0.5,
        "memory": "2GiB",
        "cache": "none",
        "encoder": "tiny",
        "out": Path("runs/a"),
        "seed": 3,
        "dials": {"temperature": 0.2, "batch_size": 64, "policy": None},
        "settings": {"objective.temperature": "0.1", "a.b": "c=d"},
        "preset": "cifar",
        "config": None,
        "resume": False,
        "warm_from": "timm:resnet18",
        "dry_run": True,
        "max_time": 5400.0,
        "evaluate_every": 5,
        "evaluate": False,
        "report": False,
        "checkpoint_every": 2,
        "keep": 4,
        "accelerator": "cpu",
        "devices": 2,
        "num_nodes": 1,
        "precision": "32-true",
        "micro_batch": 128,
        "channels_last": "no",
        "tensorboard": True,
        "download": True,
        "command": f"counterpoint {line}",
        "quiet": True,
    }


def test_a_stored_recipe_lends_its_dials(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "recipe.json").write_text(json.dumps({"recipe": "supcon", "parts": {}, "source": {}}))
    done = shell(f"train --config {tmp_path}/recipe.json --temperature 0.2 --resume --out {tmp_path}")
    assert done.code == 0
    assert done.err.endswith(f"resume supcon from {tmp_path}/recipe.json\n")
    assert shell.calls[0][1] == (None,)
    assert shell.given["dials"] == {"temperature": 0.2}
    assert "--resume" not in shell.given["command"]
    shell.calls.clear()
    assert shell(f"train --resume --out {tmp_path} --epochs 7").code == 0
    assert shell.given["dials"] == {"epochs": 7}


def test_a_users_recipe(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lab_recipe.py").write_text(
        "@recipe\ndef mine(facts, encoder, *, deep: bool = False, sizes: tuple[int, ...] = (1,), k: int | None = 2):\n"
        '    """Mine: as I like it."""\n'
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    assert shell("train lab_recipe:mine --deep --sizes 3,4 --k none").code == 0
    assert shell.given["dials"] == {"deep": True, "sizes": (3, 4), "k": None}
    assert str(tmp_path) in sys.path
    helped = shell("train lab_recipe.py:mine --help")
    assert "Mine: as I like it." in helped.out
    assert "--deep / --no-deep" in helped.out


def test_a_dial_must_not_hide_a_flag(shell: Shell, tmp_path: Path) -> None:
    path = tmp_path / "own.py"
    path.write_text("@recipe\ndef mine(facts, encoder, *, size: int = 1): ...")
    done = shell(f"train {path}:mine")
    assert done.code == 2
    assert "the dial 'size'" in done.err


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("trian simclr", "did you mean 'train'?"),
        ("train simclear", "did you mean 'simclr'?"),
        ("train simclr --temprature 0.2", "Did you mean '--temperature'?"),
        ("train simclr --preset cifr", "simclr has no preset 'cifr'; did you mean 'cifar'?"),
        ("train triplet --preset cifar", "triplet has no preset 'cifar'; known: none"),
        ("show simclr --preset cifr", "did you mean 'cifar'?"),
        ("train simclr --temperature hot", "'hot' is not a number"),
        ("train simclr --epochs 1.5", "'1.5' is not a whole number"),
        ("train simclr --set temperature", "expected for example objective.temperature=0.2"),
        ("train simclr --max-time 3x", "'3x' is no duration"),
        ("train simclr --max-time 0s", "'0s' is no duration"),
        ("train simclr supcon", "unexpected extra argument"),
        ("train simclr --size 0", "'--size'"),
        ("train", "name a RECIPE ("),
        ("train --source digits", "name a RECIPE"),
        ("train --config nowhere/recipe.json", "there is no nowhere/recipe.json"),
        ("train --resume --out nowhere", "there is no nowhere/recipe.json"),
        ("train --config .", "there is no recipe.json"),
        ("train --config /dev/null/recipe.json", "lies in no folder"),
        ("show simclear", "did you mean 'simclr'?"),
        ("evaluate", "missing argument 'RUN'"),
        ("embed runs/a", "missing argument 'IMAGES...'"),
        ("views digits --out sheet.txt", "sheet.txt is no image file"),
        ("--verson", "--version"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(shell: Shell, line: str, said: str) -> None:
    done = shell(line)
    assert done.code == 2
    assert not shell.calls
    assert said in done.err
    assert done.err.startswith("error: ")
    assert done.err.count("\n") == 1


def test_a_config_that_is_no_recipe(shell: Shell, tmp_path: Path) -> None:
    for text, said in (
        ("{", "cannot be read as JSON"),
        ("[]", "names no recipe"),
        ('{"parts": {}}', "names no recipe"),
    ):
        (tmp_path / "recipe.json").write_text(text)
        done = shell(f"train --config {tmp_path}/recipe.json")
        assert done.code == 2
        assert said in done.err


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (SourceError("no images"), 2, "error: no images\n"),
        (DivergenceError("the loss is nan"), 1, "error: the loss is nan\n"),
        (OSError(errno.ENOSPC, "No space left on device", "runs/a/x"), 2, "error: runs/a/x: the disk is full; "),
        (OSError(errno.EROFS, "Read-only file system"), 2, "error: the file system is read-only; "),
        (PermissionError(errno.EACCES, "Permission denied", "runs"), 2, "error: runs: permission denied; "),
        (KeyboardInterrupt(), 130, "\nstopped\n"),
    ],
)
def test_what_a_run_fails_with(shell: Shell, error: BaseException, code: int, said: str) -> None:
    shell.fails = error
    done = shell("train simclr")
    assert done.code == code
    first, _, rest = done.err.partition("\n")
    assert first.endswith("train simclr on digits")
    assert rest.startswith(said)
    assert "Traceback" not in done.err


@pytest.mark.parametrize("error", [ZeroDivisionError(), OSError(errno.EIO, "Input/output error")])
def test_a_defect_is_not_hidden(shell: Shell, error: Exception) -> None:
    shell.fails = error
    with pytest.raises(type(error)):
        cli.main(["train", "simclr"])


# ---------------------------------------------------------------- the other commands


def test_evaluate(shell: Shell) -> None:
    done = shell("evaluate runs/first")
    assert (done.code, done.err) == (0, f"counterpoint {__version__} · evaluate runs/first\n")
    assert shell.calls == [("evaluate", (Path("runs/first"),), {"theory": False}), ("show_table", ("the scores",), {})]


def test_report(shell: Shell) -> None:
    assert shell("report runs/first").out == "runs/first/report.html\n"
    assert shell.calls == [("write_report", (Path("runs/first"),), {})]


def test_embed(shell: Shell) -> None:
    assert shell("embed runs/first a.png photos --out x.parquet").out == "out.parquet\n"
    assert shell.calls == [("embed", (Path("runs/first"), [Path("a.png"), Path("photos")], Path("x.parquet")), {})]


def test_show(shell: Shell) -> None:
    assert shell("show simclr --set objective.temperature=1").out == "its parts\n"
    name, args, given = shell.calls[0]
    assert (name, args) == ("describe", ("simclr",))
    assert given == {
        "source": None,
        "root": None,
        "size": None,
        "encoder": None,
        "preset": None,
        "settings": {"objective.temperature": "1"},
    }
    shell.calls.clear()
    done = shell("show simclr --preset cifar")
    assert done.err.endswith("show simclr with its preset cifar on digits\n")
    assert shell.given["preset"] == "cifar"


def test_presets_stand_in_the_help_of_their_recipe(shell: Shell) -> None:
    said = " ".join(shell("train simclr --help").out.split())
    assert "Presets of simclr:" in said
    assert "--preset cifar The released code on CIFAR-10" in said
    assert "--temperature 0.5 --layers 3 --batch-size 512 --epochs 1000 --lr 1.0" in said
    assert "Presets of" not in shell("train triplet --help").out
    assert shell("train simclr --preset cifar").err.endswith("train simclr with its preset cifar on digits\n")


def test_methods(shell: Shell) -> None:
    done = shell("methods")
    for name in ("simclr", "supcon", "supervised"):
        assert f"\n{name} " in done.out
    page = shell("methods --markdown").out
    assert page.startswith("# Methods\n")
    row = next(line for line in page.splitlines() if line.startswith("| [`supcon`]"))
    assert "images with labels" in row
    assert "arXiv:2004.11362" in row
    assert "`Contrast(temperature=0.1," in row
    row = next(line for line in page.splitlines() if line.startswith("| [`pirl`]"))
    assert "`Branches(inner=Bank(negatives=4096, momentum=0.5), share=0.5)`" in row
    assert "\n## supcon\n" in page
    assert "| `--temperature` | `float` | `0.1` |" in page
    assert "| `--preset cifar` | The released code on CIFAR, for which it gives 96.0 %" in page


def test_the_page_of_methods_is_up_to_date(shell: Shell) -> None:
    """`counterpoint methods --markdown --league docs/results/league-... > docs/methods.md` makes it."""
    docs = Path(__file__).parents[2] / "docs"
    studies = {file.parent: json.loads(file.read_text("utf-8"))["study"] for file in docs.glob("results/*/study.json")}
    leagues = "".join(f" --league {folder}" for folder, study in sorted(studies.items()) if study == "league")
    assert (docs / "methods.md").read_text("utf-8") == shell(f"methods --markdown{leagues}").out


@pytest.mark.parametrize("line", ["", "--help", "train --help", "train -h simclr", "views --help", "--version"])
def test_help(shell: Shell, line: str) -> None:
    done = shell(line)
    assert done.code == (0 if line else 2)
    text = done.out or done.err
    assert "counterpoint" in text
    if "simclr" in line:
        assert "--temperature" in text
        assert "[default: 0.5]" in text


def test_views_draws_a_sheet(shell: Shell, tmp_path: Path) -> None:
    from PIL import Image

    sheets = []
    for name in ("one.png", "two.png", "other.png"):
        seed = 1 if name == "other.png" else 0
        done = shell(f"views digits --images 2 --draws 3 --seed {seed} --out {tmp_path}/new/{name}")
        assert done.code == 0
        assert done.out.endswith(f"2 images, 3 draws of each → {tmp_path}/new/{name}\n")
        with Image.open(tmp_path / "new" / name) as sheet:
            sheets.append(sheet.convert("RGB").tobytes())
            assert sheet.width > sheet.height
    assert sheets[0] == sheets[1]
    assert sheets[0] != sheets[2]
    done = shell(f"views digits --policy simclear --out {tmp_path}/none.png")
    assert done.code == 2
    assert "simclear" in done.err
    assert not (tmp_path / "none.png").exists()
