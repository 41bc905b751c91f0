"""What sections of the configuration are made of: the frozen base, URIs, sizes and small types."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo

from otce.files import absolute_uri


def resolved(uri: str, info: ValidationInfo) -> str:
    """Make a path absolute, relative to the folder that the validation's context names.

    Args:
        uri: path or fsspec URI.
        info: of the validation.

    Returns:
        An absolute path or a URI.
    """
    return absolute_uri(uri, (info.context or {}).get("folder", "."))


Uri = Annotated[str, Field(min_length=1), AfterValidator(resolved)]
"""A path or fsspec URI; relative paths are relative to the configuration file."""
Size = tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]]
Channel = tuple[float, float, float]
PositiveFloat = Annotated[float, Field(gt=0)]


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
