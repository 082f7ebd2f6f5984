"""Helpers across ranks: the identity alone, exact sums and gradients in two gloo processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from biojepa.engine import distributed

# Each rank holds some rows of one batch; every number must equal that of the whole batch. The
# process exits with an AssertionError otherwise.
CHILD = """
import sys
import torch
import torch.distributed as dist
from biojepa.engine import distributed
from biojepa.engine.regularisers import SIGReg, VICReg

me, store = int(sys.argv[1]), sys.argv[2]
tokens = torch.randn(10, 5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
weight = torch.randn(4, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
mine = slice(0, 6) if me == 0 else slice(6, 10)
terms = [VICReg(tokens_per_record=2), SIGReg(n_directions=16, tokens_per_record=2)]
alone = []
for term in terms:  # before the processes meet: the whole batch in one
    w = weight.clone().requires_grad_()
    value = term(tokens @ w, torch.Generator().manual_seed(2))
    value.backward()
    alone.append((value.detach(), w.grad))

dist.init_process_group("gloo", init_method=f"file://{store}", rank=me, world_size=2)
assert (distributed.world_size(), distributed.rank()) == (2, me)
assert distributed.rows_of_ranks(4 + me) == [4, 5]
for term, (value, grad) in zip(terms, alone):
    w = weight.clone().requires_grad_()
    ours = term(tokens[mine] @ w, torch.Generator().manual_seed(2))
    ours.backward()
    dist.all_reduce(w.grad)
    torch.testing.assert_close(ours.detach(), value, rtol=1e-12, atol=0)
    torch.testing.assert_close(w.grad / 2, grad, rtol=1e-10, atol=1e-14)

x = tokens[mine, 0].clone().requires_grad_()
rows = distributed.gather_rows(x)
assert torch.equal(rows, tokens[:, 0])
(rows.square().sum() * (1 + me)).backward()
torch.testing.assert_close(x.grad, 3 * 2 * tokens[mine, 0])

y = torch.tensor([1.0 + me, 5.0], requires_grad=True)
total = distributed.sum_over_ranks(y)
(total.square().sum()).backward()
assert total.tolist() == [3.0, 10.0]
assert y.tolist() == [1.0 + me, 5.0]
assert y.grad.tolist() == [12.0, 40.0]

assert distributed.agree_any(me == 1) is True
assert distributed.agree_any(False) is False
distributed.barrier()
dist.destroy_process_group()
"""


def test_alone_every_helper_is_the_identity() -> None:
    x = torch.randn(3, 2, generator=torch.Generator().manual_seed(0))
    assert distributed.world_size() == 1
    assert distributed.rank() == 0
    assert distributed.sum_over_ranks(x) is x
    assert distributed.gather_rows(x) is x
    assert distributed.rows_of_ranks(3) == [3]
    assert distributed.agree_any(True) is True
    assert distributed.agree_any(False) is False
    distributed.barrier()


@pytest.mark.slow
def test_two_processes_give_the_numbers_and_gradients_of_one(tmp_path: Path) -> None:
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    children = [
        subprocess.Popen(
            [sys.executable, "-c", CHILD, str(me), str(tmp_path / "store")],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=env,
            cwd=Path(__file__).resolve().parents[2],
        )
        for me in range(2)
    ]
    try:
        outputs = [child.communicate(timeout=120)[0] for child in children]
    finally:
        for child in children:
            child.kill()
    assert [child.returncode for child in children] == [0, 0], "\n".join(outputs)
