"""What each storage of a captured step is for: gradients of parameters are gradients, whoever uses them."""

import pytest
import torch

from roam_lab.app.session import profile


class Tied(torch.nn.Module):
    """One weight used twice: backward makes two parts of its gradient, and adds them up."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = torch.nn.Embedding(64, 16)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.embed(ids).tanh() @ self.embed.weight.T


def loss(model: torch.nn.Module, batch: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.cross_entropy(model(batch).flatten(0, 1), batch.flatten())


def of_the_weight(graph, kind):
    return [storage for storage in graph.storages if storage.kind == kind and storage.shape in ((64, 16), (16, 64))]


def test_both_parts_of_a_tied_gradient_are_gradients():
    model, batch = Tied(), torch.randint(0, 64, (2, 5))
    made = profile(model, batch, torch.optim.SGD(model.parameters(), 0.1), loss)
    assert made.eager_graph is not None
    for graph in (made.graph, made.eager_graph):
        assert len(of_the_weight(graph, "gradient")) >= 2
        assert not [one for one in of_the_weight(graph, "temporary") if one.bytes and made_in(graph, one) == "backward"]
    # the two parts are gone once they are added up: no simulated step holds them to its end
    assert made.reservation().above_resident < made.captured_peak_bytes + 3 * 2**20


def made_in(graph, storage):
    index = next(number for number, one in enumerate(graph.storages) if one is storage)
    return graph.ops[graph.creator[index]].phase


def test_gradients_that_the_user_updates_by_hand_are_gradients():
    """No optimizer steps, so no op is an update."""
    model = torch.nn.Linear(32, 32)

    def step(model, optimizer, batch):
        value = model(batch).square().mean()
        value.backward()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter -= 0.1 * parameter.grad
        model.zero_grad()
        return value.detach()

    made = profile(model, torch.randn(4, 32), torch.optim.SGD(model.parameters(), 0.1), step=step)
    assert {storage.bytes for storage in made.graph.storages if storage.kind == "gradient"} == {32 * 32 * 4, 32 * 4}


def test_eager_is_predicted_as_it_is_measured_where_gradients_stay():
    """A step that clears gradients when it begins holds them to its end."""
    model = torch.nn.Sequential(*(torch.nn.Linear(64, 64) for _ in range(6)))

    def step(model, optimizer, batch):
        optimizer.zero_grad()
        value = model(batch).square().mean()
        value.backward()
        optimizer.step()
        return value.detach()

    made = profile(model, torch.randn(4, 64), torch.optim.AdamW(model.parameters()), step=step)
    assert made.measured is not None
    assert made.captured_peak_bytes == pytest.approx(made.measured.peak_bytes, rel=0.01)  # numbers of a few bytes
    assert made.captured_peak_bytes > 6 * 64 * 64 * 4
