"""What each process of a layout would hold, found without processes and without memory.

The model is built on the meta device, in the place of any one process, through torch's fake
process group: the code is the one that runs, and nothing is sent.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import distributed
from torch.testing._internal.distributed.fake_pg import FakeStore

from parsimony.plan.cluster.memory import stage_parameters
from parsimony.plan.cluster.plan_file import Plan
from parsimony.plan.running import worker
from parsimony.plan.running.equivalence import ends_of
from parsimony.plan.running.layout import build


def parameters(plan: Plan, ranks: Iterable[int]) -> list[tuple[int, float]]:
    """Parameters of processes between steps: as torch builds them, and as the planner counts.

    Between steps every stage of ZeRO from 1 on has the weights split, since FSDP2 keeps whole ones
    for the passes alone; the planner counts the passes' copy in stages 1 and 2.

    Args:
        plan: any layout; none of its processes need exist.
        ranks: of the processes to look at.
    """
    layout, found = plan.layout, []
    share = layout.data if layout.zero else 1
    for rank in ranks:
        distributed.init_process_group(
            "fake", store=FakeStore(), rank=rank, world_size=layout.devices
        )
        try:
            part = build(plan, torch.device("meta"), plan.training.schedule)
            first, last = ends_of(part)
            planned = stage_parameters(plan.shape, layout.tensor, layout.pipeline, first, last)
            found.append((worker.count(part), float(planned) / share))
        finally:
            distributed.destroy_process_group()
    return found
