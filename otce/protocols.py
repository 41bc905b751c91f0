"""Which protocols the URIs of a configuration may use.

A configuration is often somebody else's text. fsspec knows forty protocols, among them ones that
ask any server inside a network (`http`), log in elsewhere (`ssh`, `smb`) or open addresses named
inside a file (`reference`), so a URI may use only those that are listed.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

DEFAULT_PROTOCOLS: Final = (
    "abfs",
    "abfss",
    "az",
    "file",
    "gcs",
    "gs",
    "memory",
    "s3",
    "s3a",
)
"""Local paths, this process's memory, and buckets, which answer to credentials of one's own."""

# Options with which a file system opens another one, whatever its URI says.
_CHOOSE_A_PROTOCOL: Final = {"fo", "fs", "protocol", "remote_protocol", "target_protocol"}


def protocols_of(uri: str) -> tuple[str, ...]:
    """Name every protocol that fsspec would use for a path or URI.

    Args:
        uri: a path, a URI, or a chain such as `zip://a.safetensors::s3://zoo/all.zip`.

    Returns:
        One for each link of the chain; a path is a `file`.

    Example:
        >>> protocols_of("/data/city"), protocols_of("simplecache::http://a/b")
        (('file',), ('simplecache', 'http'))
    """
    links = uri.split("::")
    return tuple(_protocol(link, is_chained=len(links) > 1) for link in links)


def _protocol(link: str, *, is_chained: bool) -> str:
    protocol, found, _ = link.partition("://")
    # Between `::`, fsspec takes a word for a protocol.
    return protocol if found or (is_chained and "/" not in link) else "file"


def refuse_others(uri: str, allowed: Iterable[str]) -> str:
    """Refuse a URI that uses a protocol which is not allowed.

    Args:
        uri: a path, a URI or a chain.
        allowed: protocols.

    Returns:
        The same URI.

    Raises:
        ValueError: names the protocols and what to add where.
    """
    known = sorted(set(allowed))
    others = [protocol for protocol in protocols_of(uri) if protocol not in known]
    if others:
        wanted = ", ".join(dict.fromkeys([*known, *others]))
        raise ValueError(
            f"{uri} uses the protocol {' and '.join(dict.fromkeys(others))}, which is not one of "
            f"execution.protocols ({', '.join(known)}); use one of these, or, when you trust where "
            f"it leads, set execution.protocols: [{wanted}]"
        )
    return uri


def refuse_half_a_uri(uri: str) -> str:
    """Refuse what was meant as a URI and would be a local path with a colon in it.

    Args:
        uri: a path, a URI or a chain.

    Returns:
        The same URI.

    Raises:
        ValueError: it begins with a protocol and a colon, without two slashes.
    """
    protocol, colon, rest = uri.partition(":")
    if colon and protocol in DEFAULT_PROTOCOLS and not rest.startswith(("//", ":")):
        raise ValueError(
            f"{uri} would be a folder of this machine that is called {protocol}:; write "
            f"{protocol}:// for the protocol, or ./{uri} for the folder"
        )
    return uri


def refuse_options_that_choose(options: Mapping[str, Any]) -> None:
    """Refuse fsspec options that lead to another protocol than the URI's.

    Args:
        options: fsspec options by protocol.

    Raises:
        ValueError: names the option.
    """
    for name, value in options.items():
        if name in _CHOOSE_A_PROTOCOL:
            raise ValueError(
                f"the option {name} leads to another file system than the URI says; write the "
                "chain as a URI, such as simplecache::s3://bucket/folder"
            )
        if isinstance(value, Mapping):
            refuse_options_that_choose(value)
