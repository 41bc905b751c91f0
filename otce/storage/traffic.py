"""How many bytes this process has read through `otce.storage.files`, counted over all threads."""

import threading
from typing import Final


class Traffic:
    """A count that threads add to."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._n_bytes = 0

    @property
    def n_bytes(self) -> int:
        """Bytes so far."""
        return self._n_bytes

    def add(self, n_bytes: int) -> None:
        """Count bytes.

        Args:
            n_bytes: how many more.
        """
        with self._lock:
            self._n_bytes += n_bytes


READ: Final = Traffic()
"""What was read, by this process."""
