"""Whatever storage libraries raise, as `StoreError`s that say what to do."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Final

from otce.errors import StoreError, StoreUnavailableError

# What fsspec makes of a server that is overloaded (503) or broken (500).
_MAY_PASS: Final = {errno.EAGAIN, errno.EBUSY, getattr(errno, "EREMOTEIO", errno.EBUSY)}
_BUSY: Final = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.CONFLICT, HTTPStatus.TOO_MANY_REQUESTS}


@contextmanager
def explained(verb: str, uri: str) -> Iterator[None]:
    """Turn whatever a storage library raises into a `StoreError` that says what to do.

    Args:
        verb: what was being done.
        uri: to what.

    Raises:
        StoreError: in place of any storage error; `StoreUnavailableError` when it may pass.
    """
    try:
        yield
    except StoreError:
        raise
    except FileNotFoundError as error:
        raise StoreError(_absent(verb, uri)) from error
    except PermissionError as error:
        raise StoreError(f"cannot {verb} {uri}: refused ({error}); check the rights") from error
    except (ConnectionError, TimeoutError) as error:
        told = str(error) or type(error).__name__
        raise StoreUnavailableError(
            f"cannot {verb} {uri}: no answer ({told}); try again"
        ) from error
    except OSError as error:
        # Of aiohttp's own errors those of a connection are OSErrors, and no ConnectionErrors.
        if error.errno in _MAY_PASS or _library(error) == "aiohttp":
            raise StoreUnavailableError(f"cannot {verb} {uri}: {error}; try again") from error
        raise StoreError(f"cannot {verb} {uri}: {error}; check path, rights and space") from error
    except Exception as error:
        # Cloud libraries have exception trees of their own, which fsspec does not unify.
        if _library(error) in {"builtins", "otce"}:
            raise
        raise _of_a_cloud(verb, uri, error) from error


def is_absent(error: StoreError) -> bool:
    """Tell whether it is only that there is no such object.

    Args:
        error: as `explained` raised it.

    Returns:
        True when the store answered that there is none.
    """
    cause = error.__cause__
    return isinstance(cause, FileNotFoundError) or (
        isinstance(cause, Exception) and _status(cause) == HTTPStatus.NOT_FOUND
    )


def _of_a_cloud(verb: str, uri: str, error: Exception) -> StoreError:
    if _status(error) == HTTPStatus.NOT_FOUND:
        return StoreError(_absent(verb, uri))
    if _is_refusal(error):
        return StoreError(
            f"cannot {verb} {uri}: refused ({error}); check the credentials and their rights"
        )
    return StoreUnavailableError(
        f"cannot {verb} {uri}: {error}; check the endpoint and credentials, then try again"
    )


def _absent(verb: str, uri: str) -> str:
    return f"cannot {verb} {uri}: no such object; check the path"


def _library(error: Exception) -> str:
    return type(error).__module__.partition(".")[0]


def _status(error: Exception) -> int | None:
    status = getattr(error, "status_code", None) or getattr(error, "code", None)
    return status if isinstance(status, int) else None


def _is_refusal(error: Exception) -> bool:
    """Whether a cloud library's own error says that trying again is of no use."""
    if "Credential" in type(error).__name__:
        return True
    status = _status(error)
    is_client_error = status is not None and HTTPStatus(400) <= status < HTTPStatus(500)
    return is_client_error and status not in _BUSY
