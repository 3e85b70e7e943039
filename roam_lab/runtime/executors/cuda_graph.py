"""A planned step as one CUDA graph: captured once, then launched whole.

The host rules are tested without a device and on the fake one (tests/fake_cuda); no GPU has run this yet.

No step is run twice. The first steps are ordinary steps, run op by op on the stream that will capture, so that
libraries are loaded and workspaces allocated. Capturing runs no kernel and changes no tensor; the captured step is then
run by the first replay.

Random numbers are those of eager. While capturing, an op is given the offset of its numbers within the graph, counted
by the same rule as eagerly; a replay sets the seed and the offset that the generator has by then, and moves it on by
the whole graph's numbers (`CUDAGeneratorState::increase` and `replay_prologue`, aten/src/ATen/cuda/
CUDAGeneratorImpl.cpp). The hook compares the first replays with eager steps all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from roam_lab.capture.torch_internals import end_failed_capture
from roam_lab.runtime.executors.recapture import Recaptures, baked

WARM_UP_STEPS = 3
CHECKED_REPLAYS = 2

Notify = Callable[[str], None]


class CudaGraphExecutor:
    """Runs a program as a CUDA graph, or, where that is impossible, as `PythonExecutor` does.

    `generators`: those that the step draws from, besides the default one. `notify` is called with a sentence when a
    graph is given up, and on the memory that it takes beside the plan.
    """

    def __init__(self, device: torch.device, generators: Sequence[torch.Generator], notify: Notify) -> None:
        self._device, self._generators, self._notify = device, tuple(generators), notify
        self._stream: torch.cuda.Stream | None = None
        self._warm = 0
        self._given_up = False
        self._changes = Recaptures()
        self._unchecked = CHECKED_REPLAYS
        self._forget()

    may_lend = False  # a graph allocates once, from a pool of its own

    @property
    def unchecked(self) -> int:
        """How many further steps are to be compared with eager ones: the first replays."""
        return 0 if self._given_up or self._warm < WARM_UP_STEPS else self._unchecked

    @property
    def holds_addresses(self) -> bool:
        """Whether a graph is captured, so that the arena has to stay where it is."""
        return self._graph is not None

    def run(self, function: Callable[..., Any], tensors: Sequence[Any], numbers: tuple[Any, ...]) -> Any:
        """Run the program on the batch's `tensors` and the settings' `numbers`. Returns its results, in tensors of
        their own."""
        if self._given_up:
            return function(*tensors, *numbers)
        self._changes.step()
        if self._warm < WARM_UP_STEPS:
            self._warm += 1
            return self._on_stream(lambda: function(*tensors, *numbers))
        numbers_now = baked([*numbers, *(one for one in tensors if not isinstance(one, torch.Tensor))])
        if self._graph is not None and (numbers_now != self._numbers or not self._fits(tensors)):
            self._changed("a setting that its kernels have as a number changes")
        if not self._given_up and self._graph is None:
            self._capture(function, tensors, numbers, numbers_now)
        if self._graph is None:
            return function(*tensors, *numbers)
        for static, given in zip(self._static, tensors, strict=True):
            if isinstance(static, torch.Tensor):
                static.copy_(given)
        self._graph.replay()
        return tuple(one.clone() if isinstance(one, torch.Tensor) else one for one in self._results)

    def note_equal(self) -> None:
        """One of its steps was equal to the eager one."""
        if self._graph is not None and self._unchecked:
            self._unchecked -= 1

    def moved(self) -> None:
        """Note that the program's tensors were freed or moved, so that a captured graph can no longer be used."""
        if self._graph is not None:
            self._changed("the arena is given back, or a tensor of the step replaced,")

    def _changed(self, what: str) -> None:
        self._forget()
        if not self._changes.change():
            self._give_up(f"{what} too often to capture the step anew each time")

    def _give_up(self, why: str) -> None:
        self._forget()
        self._given_up = True
        self._notify(f"the step is not run as a CUDA graph: {why}")

    def _forget(self) -> None:
        self._graph: torch.cuda.CUDAGraph | None = None
        self._static: list[Any] = []
        self._results: tuple[Any, ...] = ()
        self._numbers: tuple[Any, ...] = ()

    def _fits(self, tensors: Sequence[Any]) -> bool:
        """Whether the batch's tensors have the strides of the graph's batch, which decide about kernels."""
        pairs = [(a, b) for a, b in zip(self._static, tensors, strict=True) if isinstance(a, torch.Tensor)]
        return all((a.shape, a.stride(), a.dtype) == (b.shape, b.stride(), b.dtype) for a, b in pairs)

    def _on_stream(self, run: Callable[[], Any]) -> Any:
        """Run on the capturing stream, in sequence with the user's."""
        if self._stream is None:
            self._stream = torch.cuda.Stream(self._device)
        current = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            results = run()
        current.wait_stream(self._stream)
        for one in results:
            if isinstance(one, torch.Tensor) and one.is_cuda:
                one.record_stream(current)
        return results

    def _capture(
        self, function: Callable[..., Any], tensors: Sequence[Any], numbers: tuple[Any, ...], baked_as: tuple[Any, ...]
    ) -> None:
        """Record the program. Tensors and random state stay as they are."""
        torch.cuda.synchronize(self._device)
        torch.cuda.empty_cache()
        before = torch.cuda.memory_reserved(self._device)
        graph, pool = torch.cuda.CUDAGraph(), torch.cuda.graph_pool_handle()
        current = torch.cuda.current_stream(self._device)
        drawn_from = [torch.cuda.default_generators[current.device_index], *self._generators]
        states = [one.clone_state() for one in drawn_from]
        try:
            static = _buffers(tensors)
            for generator in self._generators:
                graph.register_generator_state(generator)
            # other threads, such as a data loader's, may allocate meanwhile
            with torch.cuda.graph(graph, pool, self._stream, capture_error_mode="thread_local"):
                results = function(*static, *numbers)
        except Exception as error:  # whatever CUDA refuses: nothing has run, but torch may still take it for a capture
            torch.cuda.set_stream(current)
            end_failed_capture(pool, current.device_index)
            for generator, state in zip(drawn_from, states, strict=True):
                generator.graphsafe_set_state(state)
            self._give_up(f"capturing it failed ({(str(error) or type(error).__name__).splitlines()[0][:200]})")
            return
        self._graph, self._static, self._results, self._numbers = graph, static, results, baked_as
        held = torch.cuda.memory_reserved(self._device) - before
        self._notify(
            f"the CUDA graph holds {held / 2**20:,.1f} MiB beside the plan: copies of the batch, what ops allocate "
            "themselves, and workspaces"
        )


def _buffers(tensors: Sequence[Any]) -> list[Any]:
    """Buffers to which batches are copied, one for each distinct tensor of the batch; numbers stay as they are."""
    made: dict[Any, torch.Tensor] = {}
    found: list[Any] = []
    for one in tensors:
        if isinstance(one, torch.Tensor):
            key = (one.data_ptr(), one.shape, one.stride(), one.dtype)
            if key not in made:
                made[key] = torch.empty_strided(one.shape, one.stride(), dtype=one.dtype, device=one.device)
                made[key].copy_(one)  # raises where elements of a batch's tensor overlap
            found.append(made[key])
        else:
            found.append(one)
    return found
