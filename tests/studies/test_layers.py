"""What lies between pixels and projection."""

import pytest
import torch

from counterpoint.embed import encode
from counterpoint.encoders import MLP, ConvNet
from counterpoint.model import Model
from counterpoint.random import Stream, forked
from counterpoint.recipe import compose
from counterpoint.studies.layers import layers
from counterpoint.types import Facts

FACTS = Facts("digits", "glyphs", 1, 8, 100, 10, mean=(0.3,), std=(0.4,))


def a_model(encoder, recipe="simclr"):
    with forked(0):
        return Model(compose(recipe, FACTS, encoder, {"batch_size": 8, "epochs": 1}), FACTS)


@pytest.fixture
def images():
    return Stream(0).integers(0, 256, 20, 1, 8, 8).to(torch.uint8)


def test_hidden_layers_are_what_the_rectifiers_leave(images):
    model = a_model(MLP((30, 20, 10)))
    found = layers(model, images, batch=7)
    assert list(found) == ["pixels", "hidden 1", "hidden 2", "h", "z"]
    assert [rows.shape[1] for rows in found.values()] == [64, 30, 20, 10, 128]
    x = (images.flatten(1) / 255 - 0.3) / 0.4
    for name, linear in zip(list(found)[1:4], list(model.towers.encoder)[1::2], strict=True):
        x = linear(x).relu()
        torch.testing.assert_close(found[name], x, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found["pixels"], images.flatten(1) / 255)


def test_hidden_layers_of_another_activation(images):
    model = a_model(MLP((30, 20), "tanh"))
    found = layers(model, images)
    assert list(found) == ["pixels", "hidden 1", "h", "z"]
    x = (images.flatten(1) / 255 - 0.3) / 0.4
    torch.testing.assert_close(found["hidden 1"], model.towers.encoder[1](x).tanh(), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("encoder", [MLP((12,)), ConvNet()])
def test_the_last_two_are_those_of_an_embedding(encoder, images):
    model = a_model(encoder).train()
    found = layers(model, images)
    h, z = encode(model, images)
    assert list(found) == ["pixels", "h", "z"]
    torch.testing.assert_close(found["h"], h)
    torch.testing.assert_close(found["z"], z)
    assert model.training
