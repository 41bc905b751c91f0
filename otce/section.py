"""The base of all configuration sections, and the kinds of value that many of them hold."""

import posixpath
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo

from otce.protocols import DEFAULT_PROTOCOLS, refuse_half_a_uri, refuse_others
from otce.secrets import refuse_secret_uri
from otce.storage.files import absolute_uri


def resolved(uri: str, info: ValidationInfo) -> str:
    """Make a URI absolute, and refuse one whose protocols are not allowed.

    Args:
        uri: path or fsspec URI, relative ones relative to the configuration file.
        info: its context holds the folder of that file, and the allowed protocols.

    Returns:
        An absolute path or a URI.

    Raises:
        ValueError: a protocol is not allowed, the URI has a secret in it, or lacks its slashes.
    """
    allowed = (info.context or {}).get("protocols", DEFAULT_PROTOCOLS)
    whole = refuse_half_a_uri(refuse_secret_uri(uri))
    return refuse_others(_absolute(whole, info), allowed)


def _absolute(uri: str, info: ValidationInfo) -> str:
    return absolute_uri(uri, (info.context or {}).get("folder", "."))


def below_root(path: str) -> str:
    """Refuse a path that leads out of the folder it is relative to.

    Args:
        path: relative path.

    Returns:
        The same path.

    Raises:
        ValueError: it is absolute, leads upwards, or would be read as a chain of addresses.
    """
    if "::" in path:
        raise ValueError(f"{path} would be read as another address; write a path without ::")
    if posixpath.normpath(path).startswith(("/", "..")):
        raise ValueError(f"{path} is not below the root of the layout; write a path that is")
    return path


Uri = Annotated[str, Field(min_length=1), AfterValidator(resolved)]
"""A path or fsspec URI; relative paths are relative to the configuration file."""
CodeFolder = Annotated[str, Field(min_length=1), AfterValidator(_absolute)]
"""A folder of Python modules; no protocols are asked for, as it matters to trusted models only."""
PathBelowRoot = Annotated[str, Field(min_length=1), AfterValidator(below_root)]
"""A path below the root of a data set."""
Pattern = Annotated[str, Field(pattern=r"^[^*]*\*[^*]*$"), AfterValidator(below_root)]
"""Where files are below a root; the one `*` stands for an item's id, over folders too."""
Size = tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]]
"""Height and width."""
Seed = Annotated[int, Field(ge=0, lt=2**63)]
"""Root of draws."""
Channel = tuple[float, float, float]
"""A value for red, green and blue."""
PositiveFloat = Annotated[float, Field(gt=0)]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
"""SHA-256 of bytes, as 64 hexadecimal digits."""


class Section(BaseModel):
    """Base of all sections: frozen, unknown keys refused, NaN and infinity refused."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        allow_inf_nan=False,
        # Relative default paths are made absolute like any other.
        validate_default=True,
    )
