"""Refuses secrets in a configuration: it is copied into the store, logged, and shared.

Credentials come from the cloud SDKs' own variables and files, which nothing here reads or copies.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

_SECRET_NAME: Final = re.compile(
    r"secret|token|passw|passphrase|pwd|credential|authorization|cookie|connection_?string"
    r"|access_?key|sas|(^|[a-z_-])key$",
    re.IGNORECASE,
)
# gcsfs takes these words in place of a token.
_NO_SECRETS: Final = {"anon", "browser", "cache", "cloud", "google_default"}
_SECRET_IN_URI: Final = re.compile(
    r"://[^/@\s]*:[^/@\s]*@|[?&](sig|x-amz-(signature|security-token)|x-goog-signature)=",
    re.IGNORECASE,
)
_REMEDY: Final = (
    "keep secrets out of configurations, which are copied into the store; set the environment "
    "variables of the storage's own SDK, such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
    "GOOGLE_APPLICATION_CREDENTIALS or AZURE_STORAGE_CONNECTION_STRING"
)


def refuse_secret_options(options: Mapping[str, Any], where: str = "") -> None:
    """Refuse fsspec options that hold a secret, at any depth.

    Args:
        options: fsspec options, or those of one protocol.
        where: dotted name of what they are in.

    Raises:
        ValueError: names the option, never its value, and says where secrets belong.
    """
    for name, value in options.items():
        place = f"{where}.{name}" if where else str(name)
        _refuse(place, value, is_secret=bool(_SECRET_NAME.search(str(name))))


def _refuse(place: str, value: Any, *, is_secret: bool) -> None:
    match value:
        case None | bool():
            return
        case Mapping() if not is_secret:
            refuse_secret_options(value, place)
        case str() if is_secret and value in _NO_SECRETS:
            return
        case str() if not is_secret and not _SECRET_IN_URI.search(value):
            return
        case Sequence() if not is_secret and not isinstance(value, str):
            for one in value:
                _refuse(place, one, is_secret=False)
        case int() | float() if not is_secret:
            return
        case _:
            raise ValueError(f"the option {place} is, or holds, a secret; {_REMEDY}")


def refuse_secret_uri(uri: str) -> str:
    """Refuse a URI with a password or a signature in it.

    Args:
        uri: a path, a URI or a chain.

    Returns:
        The same URI.

    Raises:
        ValueError: says where secrets belong, without the URI.
    """
    if _SECRET_IN_URI.search(uri):
        raise ValueError(f"the address has a password or a signature in it; {_REMEDY}")
    return uri


def without_secrets(text: str) -> str:
    """Cut a `dotted.key=value` text so that it can be told, though its value may be a secret.

    Args:
        text: an override of the command line.

    Returns:
        The text; without its value where that is an option of a storage, or has a secret in it.

    Example:
        >>> without_secrets("execution.storage_options.s3.key=AKIA")
        'execution.storage_options.s3.key=...'
    """
    key, _, _ = text.partition("=")
    is_option = "storage_options" in text
    return f"{key}=..." if is_option or _SECRET_IN_URI.search(text) else text
