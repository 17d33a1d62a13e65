"""Principal components, held against scikit-learn's."""

import torch

from counterpoint.evaluation.principal import principal


def test_principal_components_are_those_of_scikit_learn() -> None:
    from sklearn.decomposition import PCA

    draw = torch.Generator().manual_seed(0)
    mix = torch.randn(6, 9, generator=draw)
    train, test = (torch.randn(rows, 6, generator=draw) @ mix + 5 for rows in (80, 20))
    ours = principal(train, test, 4)
    fitted = PCA(4).fit(train.numpy())
    for found, rows in zip(ours, (train, test), strict=True):
        theirs = torch.as_tensor(fitted.transform(rows.numpy())).flip(1)  # ours come with the largest last
        assert torch.allclose(found.abs(), theirs.abs().float(), atol=1e-3)
    assert principal(train, test, 400)[0].shape == (80, 9)
