"""The same bits at every run: what ``--deterministic`` asks of the libraries that compute.

Data, masks, orders and noise hang on seeds and places alone, with it or without (`occface.seeding`). What is left is how
libraries add up: processors split sums among threads, so that their number shows in the last bits; accelerators add in
whatever order their threads come, and choose among ways of computing by trying.
"""

from __future__ import annotations

import os
import re

__all__ = ["is_required", "refusal", "require"]

#: Read by libraries when they are imported or begin; processes that are started inherit them.
_VARIABLES = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",  # one of the two that CUDA's matrix products are repeatable with
}
_REFUSED = re.compile(
    r"^(?P<operation>\S+) does not have a deterministic implementation|but this operation is not deterministic"
)
_required = False


def require() -> None:
    """Let all that this process and its workers compute from now on give the same bits at every run, or fail.

    On a processor that is one thread for each process. On an accelerator, operations are computed in a way that is repeatable,
    and those that have none raise an error, which `refusal` explains. Nothing takes it back. numpy's own threads are set only
    if numpy was not imported before, as is so on the command line; nothing that stands in a data set, in weights or in scores
    was seen to hang on them.
    """
    global _required
    os.environ |= _VARIABLES
    import torch

    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    _required = True


def is_required() -> bool:
    """Return whether `require` was called in this process."""
    return _required


def refusal(error: BaseException) -> str | None:
    """Return in one line what an error means that says that an operation is not repeatable; None of any other error.

    Examples
    --------
    >>> refusal(RuntimeError("put_ does not have a deterministic implementation, but you set ..."))
    '--deterministic was asked for, but put_ has no form on this device that gives the same bits ...'
    >>> refusal(RuntimeError("out of memory")) is None
    True
    """
    found = _REFUSED.search(str(error)) if isinstance(error, RuntimeError) else None
    if found is None:
        return None
    operation = found["operation"] or "a matrix product"
    return (
        f"--deterministic was asked for, but {operation} has no form on this device that gives the same bits at every run: "
        "leave --deterministic out, or use --device cpu"
    )
