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
        raise StoreError(f"cannot {verb} {uri}: no such object; check the path") from error
    except PermissionError as error:
        raise StoreError(f"cannot {verb} {uri}: refused ({error}); check the rights") from error
    except (ConnectionError, TimeoutError) as error:
        told = str(error) or type(error).__name__
        raise StoreUnavailableError(
            f"cannot {verb} {uri}: no answer ({told}); try again"
        ) from error
    except OSError as error:
        if error.errno in _MAY_PASS:
            raise StoreUnavailableError(f"cannot {verb} {uri}: {error}; try again") from error
        raise StoreError(f"cannot {verb} {uri}: {error}; check path, rights and space") from error
    except Exception as error:
        # Cloud libraries have exception trees of their own, which fsspec does not unify.
        if type(error).__module__.partition(".")[0] in {"builtins", "otce"}:
            raise
        if _is_refusal(error):
            raise StoreError(
                f"cannot {verb} {uri}: refused ({error}); check the credentials and their rights"
            ) from error
        raise StoreUnavailableError(
            f"cannot {verb} {uri}: {error}; check the endpoint and credentials, then try again"
        ) from error


def _is_refusal(error: Exception) -> bool:
    """Whether a cloud library's own error says that trying again is of no use."""
    if "Credential" in type(error).__name__:
        return True
    status = getattr(error, "status_code", None) or getattr(error, "code", None)
    is_client_error = isinstance(status, int) and HTTPStatus(400) <= status < HTTPStatus(500)
    return is_client_error and status not in _BUSY
