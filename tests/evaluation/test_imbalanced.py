import pytest
import torch

from counterpoint.evaluation import linear_probe
from counterpoint.types import Embeddings


@pytest.mark.parametrize("share", [0.2, 0.1, 0.05])
def test_a_rare_class_is_found_although_naming_the_common_one_is_often_right(share):
    generator = torch.Generator().manual_seed(0)

    def made(n):
        y = (torch.arange(n) < share * n).long()
        h = torch.randn(n, 16, generator=generator)
        h[:, 0] += 4.0 * y
        return Embeddings(h, torch.arange(n), labels=y, classes=("common", "rare"))

    test = made(400)
    probe = linear_probe(made(600), test)
    rare = test.labels == 1
    assert (probe.prediction[rare] == 1).float().mean() > 0.7
    assert probe.accuracy > 1 - share + 0.02
