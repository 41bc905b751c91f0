"""All transports of a model: begun as the window allows, told by pairs that are done."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from otce.footprint import footprint_bytes
from otce.recipe import Metric
from otce.scores.zero_shot import class_map
from tasks.bundle import Told, Transport, bundled, submit
from tasks.keep_scores import Solved
from tasks.ray_calls import ALL_PIXELS, Ref, Refs
from tasks.retry import GaveUpError
from tasks.solve import Request
from tasks.stopping import begin
from tasks.work import Wanted, Work

Draws = dict[int, tuple[Told, Solved] | GaveUpError]
"""What each repetition of a pair gave."""
_Place = tuple[str, int]
"""A target and a repetition."""


def solved(
    model_id: str, refs: Mapping[str, Refs], pairs: Mapping[str, Wanted], work: Work, *, heat: bool
) -> Iterator[dict[str, Draws]]:
    """Yield targets when all their repetitions are back.

    Args:
        model_id: the model.
        refs: features by data set.
        pairs: what is to be scored, by target.
        work: what all models share.
        heat: whether these are heats of a race.

    Yields:
        By target what each repetition gave; the targets that the same task finished together.

    Raises:
        StoppingError: the run is to end before all have begun.
    """
    asked = {target: pairs[target].metrics_of for target in pairs if target in refs}
    todo = [(target, k) for target, metrics in asked.items() for k in metrics]
    begun: set[str] = set()
    rows: dict[_Place, Ref] = {}

    def start(bundle: Sequence[_Place]) -> Ref:
        # The other repetitions of a pair follow its first, so that it can be kept.
        new = {target for target, _ in bundle} - begun
        if new:
            begin()
            begun.update(new)
        told, found = _submitted(model_id, bundle, refs, asked, work, heat=heat)
        rows[bundle[0]] = found
        return told

    draws: dict[str, Draws] = {target: {} for target in asked}
    spans = bundled([work.size(model_id, target) for target, _ in todo])
    left = [todo[span.start : span.stop] for span in spans]
    while left:
        bundles, left = left, []
        submits = [partial(start, bundle) for bundle in bundles]
        for index, result in work.window.run(submits, [_about(bundle) for bundle in bundles]):
            bundle = bundles[index]
            if isinstance(result, GaveUpError) and len(bundle) > 1:
                # One of them may be at fault: each is tried alone, and fails alone.
                left += [[place] for place in bundle]
                continue
            found = rows.pop(bundle[0])
            for position, (target, k) in enumerate(bundle):
                if isinstance(result, GaveUpError):
                    draws[target][k] = result
                else:
                    draws[target][k] = result[position], Solved(found, position)
                    work.timings.add("solve", model_id, target, result[position].spent)
            whole = dict.fromkeys(t for t, _ in bundle if len(draws[t]) == len(asked[t]))
            yield {target: draws.pop(target) for target in whole}


def _submitted(
    model_id: str,
    bundle: Sequence[_Place],
    refs: Mapping[str, Refs],
    asked: Mapping[str, Mapping[int, tuple[Metric, ...]]],
    work: Work,
    *,
    heat: bool,
) -> tuple[Ref, Ref]:
    side = work.sides[model_id]
    transports = [
        Transport(
            Request(
                recipe=work.config.score,
                metrics=asked[target][k],
                class_map=class_map(side.classes, work.censuses[target].listed.classes),
                with_curve=k == 0 and not heat,
            ),
            refs[side.source][k],
            refs[target][k],
            refs[target].get(ALL_PIXELS, []) if k == 0 else [],
        )
        for target, k in bundle
    ]
    more = f" and {len(bundle) - 1} more" if len(bundle) > 1 else ""
    sizes = {work.size(model_id, target) for target, _ in bundle}
    return submit(
        transports,
        name=f"solve {model_id} {bundle[0][0]} {bundle[0][1]}{more}",
        num_cpus=work.plan.solve_cpus,
        memory_bytes=max(footprint_bytes(work.config, *size) for size in sizes),
    )


def _about(bundle: Sequence[_Place]) -> dict[str, Any]:
    """Say which transport a task is; of several only what they have in common."""
    targets, repetitions = ({place[i] for place in bundle} for i in (0, 1))
    return {
        "target": bundle[0][0] if len(targets) == 1 else None,
        "repetition": bundle[0][1] if len(repetitions) == 1 else None,
        "stage": "solve",
    }
