"""Time spent."""

from __future__ import annotations

import time

from biojepa.evaluation.spent import Spent


def test_sleeping_takes_wall_time_but_no_processor_time():
    began = Spent.now()
    time.sleep(0.05)
    slept = Spent.now() - began
    assert slept.wall_s >= 0.05
    assert slept.cpu_s < slept.wall_s


def test_times_of_two_pieces_of_work_add_up():
    assert Spent(1.0, 2.0) + Spent(0.5, 0.25) == Spent(1.5, 2.25)
    assert Spent(1.5, 2.25) - Spent(0.5, 0.25) == Spent(1.0, 2.0)
