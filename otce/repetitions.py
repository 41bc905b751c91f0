"""Which repetitions of a pair are kept, whatever rounds they were scored in.

A pair that left a race has some of its repetitions. They are kept in objects named by what they
have in common (`otce.identity.PairNames`) and by their range; a whole pair has a name
of its own. As a repetition depends on its own number alone, any objects that cover a range hold the
same rows.
"""

from collections.abc import Iterable


def repetitions_name(fingerprint_: str, repetitions: range) -> str:
    """Name the object that holds a range of a pair's repetitions.

    The range is in the name, so that a listing tells which repetitions are kept, whatever rounds
    they were scored in; and such an object is never taken for a whole pair, named otherwise.

    Args:
        fingerprint_: see `otce.identity.PairNames.repetitions`.
        repetitions: consecutive ones, at least one.

    Returns:
        The fingerprint, the first and the last repetition.

    Example:
        >>> repetitions_name("0123", range(2, 6))
        '0123.2-5'
    """
    return f"{fingerprint_}.{repetitions[0]}-{repetitions[-1]}"


def kept_repetitions(
    names: Iterable[str], fingerprint_: str, wanted: range
) -> tuple[dict[str, range], list[range]]:
    """Find the repetitions that are kept, and those that are not.

    Args:
        names: of kept objects, see `repetitions_name`; others are passed over.
        fingerprint_: of the repetitions that are looked for.
        wanted: consecutive repetitions.

    Returns:
        What to take from which object, in order of repetitions, and the ranges that nobody kept.

    Example:
        >>> kept_repetitions(["ab.0-0", "ab.0-3", "ab.6-9", "cd.4-5"], "ab", range(8))
        ({'ab.0-3': range(0, 4), 'ab.6-9': range(6, 8)}, [range(4, 6)])
    """
    held = []
    for name in names:
        stem, _, span = name.partition(".")
        if stem == fingerprint_:
            first, last = map(int, span.split("-"))
            held.append((first, last + 1, name))
    found: dict[str, range] = {}
    missing = []
    at = wanted.start
    while at < wanted.stop:
        # The longest that begins here or before; the name settles which of equals.
        reach, name = max(
            ((stop, name) for start, stop, name in held if start <= at < stop), default=(at, "")
        )
        stop = min(reach, wanted.stop)
        if stop > at:
            found[name] = range(at, stop)
        else:
            later = [start for start, _, _ in held if start > at]
            stop = min([*later, wanted.stop])
            missing.append(range(at, stop))
        at = stop
    return found, missing
