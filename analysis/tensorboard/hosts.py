"""Under which names a browser may ask for the tab.

TensorBoard serves this machine alone unless it is told otherwise. A page of another site can make its own name lead
here (DNS rebinding) and read what is served, so a name that is not this machine's gets no answer.
"""

from __future__ import annotations

import ipaddress
import socket
from typing import Any
from urllib.parse import urlsplit

EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - read, not bound
FOREIGN = "this name is not this machine's; ask for localhost, or start TensorBoard with --host NAME or --bind_all"


class Hosts:
    """``flags``: TensorBoard's; None: unknown, and every name will do."""

    def __init__(self, flags: Any) -> None:
        told = str(getattr(flags, "host", None) or "").lower()
        self._any = flags is None or bool(getattr(flags, "bind_all", False)) or told in EVERYWHERE
        self._own = {"localhost", socket.gethostname().lower(), told} - {""}

    def foreign(self, told: str) -> bool:
        """Whether ``told``, the Host header, is a name that is not this machine's. Addresses cannot be rebound."""
        if self._any:
            return False
        try:
            name = (urlsplit(f"//{told}").hostname or "").lower()
        except ValueError:
            return True
        return not (name in self._own or name.endswith(".localhost") or _is_address(name))


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
