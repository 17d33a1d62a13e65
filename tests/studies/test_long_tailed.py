import pytest
import torch

import counterpoint as cp
from counterpoint.errors import SourceError
from counterpoint.sources import Digits
from counterpoint.studies.long_tailed import LongTailed, tail


def test_the_profile_falls_by_one_factor():
    assert tail(5000, 10, 100)[::9] == [5000, 50]
    counts = torch.tensor(tail(5000, 10, 100), dtype=torch.float64)
    assert (counts[1:] / counts[:-1]).sub(100 ** (-1 / 9)).abs().max() < 0.01
    assert tail(5, 3, 1000) == [5, 1, 1]


def test_training_has_a_tail_and_the_test_has_none():
    whole, found = Digits().load(), LongTailed(Digits(), 20).load()
    labels = found.train.labels
    assert labels is not None
    most = int(torch.bincount(whole.train.labels).max())
    assert torch.bincount(labels).tolist() == pytest.approx(tail(most, 10, 20), abs=most * 0.1)
    assert int(torch.bincount(labels)[9]) == tail(most, 10, 20)[9]
    assert torch.equal(found.test.images, whole.test.images)


def test_mistakes_are_sentences():
    with pytest.raises(SourceError, match="give 1 or more"):
        LongTailed(Digits(), 0.5)


@pytest.mark.long
def test_logit_adjustment_helps_the_tail(tmp_path):
    """How the classifier itself names the rarest classes, corrected for how often a class is seen, and not."""
    source = LongTailed(Digits(), 40)
    rare = []
    for adjusted in (False, True):
        run = cp.train(
            "gpaco", source=source, encoder="mlp", out=tmp_path / str(adjusted), epochs=60, batch_size=64,
            long_tailed=adjusted, precision="32-true", accelerator="cpu", evaluate=False, report=False, quiet=True,
        )  # fmt: skip
        state = torch.load(max(run.checkpoints.glob("*.pt")), weights_only=True)["model"]
        weight, bias = state["negatives.layer.weight"], state["negatives.layer.bias"]
        model = cp.load(run.folder)
        test = source.load().test
        h = torch.as_tensor(model.embed(test.images))
        named = (h @ weight.T + bias).argmax(1)
        last = test.labels >= 6
        rare.append(float((named == test.labels)[last].float().mean()))
    assert rare[1] > rare[0] + 0.2
