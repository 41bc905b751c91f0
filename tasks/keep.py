"""Keep the source side of a model in the store, and read it back in place of a source pass."""

from collections.abc import Sequence
from itertools import islice
from typing import Any

import ray

from otce.config import ExecutionConfig
from otce.draw import Draw, joined
from otce.errors import DamagedError
from otce.identity import Signature
from otce.signature import decode, draw_key, encode, read_whole, refuse_other
from otce.storage.files import StorageOptions, join, write_bytes
from otce.storage.store import Store
from tasks.ray_calls import Ref, inside, result
from tasks.retry import attempt


def keep_draws(
    draws: Sequence[Sequence[Ref]], signature: Signature, execution: ExecutionConfig
) -> None:
    """Put every draw of a model's source side into the store, by Ray tasks beside the features.

    Args:
        draws: for each repetition, the references of its parts.
        signature: the source side.
        execution: the execution half of the run.

    Raises:
        GaveUpError: the store refuses or does not answer.
    """
    sizes = [len(parts) for parts in draws]
    flat = [part for parts in draws for part in parts]
    place = execution.store, execution.storage_options

    def put() -> None:
        with inside():
            ref = _put_draws.remote(place, signature, sizes, *flat)
        result(ref, execution.time_limit_s)

    # An object that is put twice is put with equal bytes.
    attempt(put, attempts=execution.attempts, recover=lambda: None)


def read_draws(
    uris: tuple[str, ...],
    signature: Signature,
    repetitions: int,
    execution: ExecutionConfig,
    most_bytes: int | None,
) -> list[list[Ref]]:
    """Read the kept draws of a model's source side, by a Ray task: none passes through the driver.

    Args:
        uris: the objects that hold them together.
        signature: the source side that they must be of.
        repetitions: K.
        execution: the execution half of the run.
        most_bytes: larger objects are refused before they are read; none: all are read.

    Returns:
        For each repetition, the reference of its one part.

    Raises:
        GaveUpError: an object cannot be read, is damaged, or is of another source side.
    """
    # Ray's types know of one result a task only.
    start: Any = _read_draws.options(num_returns=repetitions + 1)
    options = execution.storage_options

    def read() -> list[Ref]:
        with inside():
            refs: list[Ref] = start.remote(uris, signature, repetitions, options, most_bytes)
        result(refs[0], execution.time_limit_s)
        return refs[1:]

    refs = attempt(read, attempts=execution.attempts, recover=lambda: None)
    return [[ref] for ref in refs]


def set_aside_damaged(uris: Sequence[str], store: Store) -> list[str]:
    """Move kept draws out of the way that are damaged, so that the source side is extracted again.

    Args:
        uris: of the draws; a signature file of the user's own stays where it is.
        store: where draws are kept.

    Returns:
        The keys that they have now.

    Raises:
        StoreError: the store refuses or does not answer.
    """
    root = f"{store.uri}/"
    found = []
    for key in (uri.removeprefix(root) for uri in uris if uri.startswith(root)):
        try:
            decode(store.get(key), key)
        except DamagedError:
            found.append(store.set_aside(key))
    return found


# Both wait for storage more than they compute, and must not wait for a transport to end.
@ray.remote(max_retries=0, num_cpus=0)
def _put_draws(
    place: tuple[str, StorageOptions], signature: Signature, sizes: list[int], *parts: Draw
) -> None:
    root, options = place
    left = iter(parts)
    for repetition, size in enumerate(sizes):
        data = encode(signature, {repetition: joined(list(islice(left, size)))})
        write_bytes(join(root, draw_key(signature, repetition)), data, options)


@ray.remote(max_retries=0, num_cpus=0)
def _read_draws(
    uris: tuple[str, ...],
    signature: Signature,
    repetitions: int,
    options: StorageOptions,
    most_bytes: int | None,
) -> list[Any]:
    # What was listed or described may have been replaced since: it is held against the run again.
    contents, draws = read_whole(uris, options, most_bytes)
    refuse_other(contents, signature, range(repetitions), uris[0])
    return [contents.feature_dim, *(draws[repetition] for repetition in range(repetitions))]
