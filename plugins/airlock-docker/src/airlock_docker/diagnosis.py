"""Why Docker does not do what it should, in the words an operator needs: the true cause and the exact remedy."""

from __future__ import annotations

import errno
import os
import socket
from typing import Final

from docker.errors import APIError
from requests.exceptions import ReadTimeout

from airlock import BackendUnavailable

SAID: Final = 1500  # characters of Docker's message that an operator is shown
CONNECT_TIMEOUT: Final = 2.0  # seconds


def explain(error: Exception, host: str) -> BackendUnavailable:
    """Turn what docker-py raised into what an operator can act on. `host` is the daemon's address."""
    if isinstance(error, APIError) and error.explanation is not None:
        return refused(str(error.explanation))
    if isinstance(error, ReadTimeout) or isinstance(error.__cause__, ReadTimeout):
        return BackendUnavailable(
            f"The Docker daemon at {host} did not answer in time.",
            "Look at its log and its load; `start_time_limit` and `stop_time_limit` say how long to wait.",
        )
    return unreachable(host) or BackendUnavailable(
        f"Docker failed: {str(error)[:SAID]}.", f"Try `docker -H {host} info`."
    )


def refused(message: str) -> BackendUnavailable:
    """Explain what the daemon itself said. It has no codes for causes: its words are all there is."""
    said = message.strip().rstrip(".")[-SAID:]
    remedy = "The daemon's log may say more."
    if "no space left on device" in said:
        remedy = "Make room on the daemon's disk: `docker system df` says what can go, `docker system prune` does it."
    return BackendUnavailable(f"Docker refuses: {said}.", remedy)


def unreachable(host: str) -> BackendUnavailable | None:
    """Try the daemon's socket: say why there is no daemon, or None when something answers there."""
    path = socket_path(host)
    with socket.socket(socket.AF_UNIX) as attempt:
        attempt.settimeout(CONNECT_TIMEOUT)
        try:
            attempt.connect(path)
        except PermissionError:
            user = f"uid {os.geteuid()}"
            return BackendUnavailable(
                f"This user ({user}) may not use the Docker daemon at {host}.",
                "Add the user to the group `docker` (`usermod -aG docker USER`, then log in again). Whoever can use "
                "the daemon is root on its machine.",
            )
        except OSError as error:
            what = errno.errorcode.get(error.errno or 0, str(error))
            return BackendUnavailable(
                f"No Docker daemon answers at {host} ({what}).",
                "Start it (`systemctl start docker`), or set `docker_host`.",
            )
    return None


def socket_path(host: str) -> str:
    """Return the path of a `unix://` address."""
    return host.removeprefix("unix://")
