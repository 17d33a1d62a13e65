"""Kill a training run at random moments until it ends; its weights must equal those of a run left alone, bit by bit.

Usage: python tests/engine/kill_and_resume.py FOLDER KILLS. Children are forked from a process that has imported
everything and computed nothing, so that a trial costs its training time only.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

# What a run imports on its way is imported once, here, before anything is forked.
import lightning_fabric
import sklearn.datasets
import torch
import torch._dynamo

from counterpoint.app import train

assert lightning_fabric
assert sklearn.datasets


def begin(folder, **more):
    """A child that trains, or goes on training, in the folder; its process id."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            train(
                f"{Path(__file__).parent / 'stateful.py'}:stateful",
                source="digits",
                encoder="mlp",
                out=folder,
                resume=(folder / "recipe.json").is_file(),
                precision="32-true",
                channels_last="no",
                accelerator="cpu",
                evaluate=False,
                report=False,
                quiet=True,
                **more,
            )
            code = 0
        finally:
            os._exit(code)
    return child


def weights(folder):
    """Everything in the newest checkpoint."""
    newest = max((folder / "checkpoints").glob("step-*.pt"))
    return torch.load(newest, weights_only=True)


def same(a, b):
    """Bit-identical, however nested."""
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def main(folder, kills):
    """Raise where the weights differ; print what was done."""
    straight = folder / "straight"
    began = time.perf_counter()
    assert os.waitpid(begin(straight), 0)[1] == 0
    alone = time.perf_counter() - began
    random.seed(0)
    done = trials = 0
    while done < kills:
        broken = folder / f"broken-{trials}"
        trials += 1
        while True:
            child = begin(broken)
            time.sleep(random.uniform(0, 0.8 * alone))
            ended, status = os.waitpid(child, os.WNOHANG)
            if not ended:
                os.kill(child, signal.SIGKILL)
                status = os.waitpid(child, 0)[1]
            if os.WIFSIGNALED(status):
                done += 1
                continue
            assert status == 0, f"the resumed run failed with status {status}"
            break
        assert same(weights(straight), weights(broken)), f"weights differ after trial {trials}"
    print(f"{done} kills in {trials} runs of {alone:.1f} s: weights, optimizer and states bit-identical")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
