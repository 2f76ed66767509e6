"""Simplify graphs in a process of their own: a simplifier may fail, crash or hang without taking us along."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import onnx

DEADLINE_SECONDS = 600

Simplifier = Callable[[bytes], bytes]


def onnxsim_simplify(graph: bytes) -> bytes:
    """A serialized graph through onnxsim. Whether it computes the same is seen when the bundle is verified."""
    import onnxsim

    simplified, _ = onnxsim.simplify(onnx.load_from_string(graph))
    simplified.ir_version = onnx.load_from_string(graph).ir_version
    return simplified.SerializeToString()


def simplify(
    graphs: dict[int, onnx.ModelProto], simplifier: Simplifier = onnxsim_simplify
) -> tuple[dict[int, onnx.ModelProto], str]:
    """All graphs simplified, or none of them (else their weights differ and nothing can be shared).

    Returns:
        The graphs to go on with, and an empty text or what kept them from being simplified.
    """
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(1, mp_context=context)
    try:
        jobs = {block: pool.submit(simplifier, graph.SerializeToString()) for block, graph in graphs.items()}
        done = {block: onnx.load_from_string(job.result(DEADLINE_SECONDS)) for block, job in jobs.items()}
    except BrokenProcessPool:
        return graphs, "the simplifier crashed"
    except TimeoutError:
        return graphs, f"the simplifier did not end within {DEADLINE_SECONDS} s"
    except Exception as error:  # whatever it raised over there, the unsimplified graphs are good
        return graphs, f"the simplifier failed: {error}"
    finally:
        for process in list((pool._processes or {}).values()):  # no public way to end a hung worker
            process.kill()
        pool.shutdown(wait=False, cancel_futures=True)
    return done, ""
