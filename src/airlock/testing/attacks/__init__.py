"""Attacks that every sandbox for CPython has to hold, told by effect: a canary, a return code, a process that is left.

    class TestMySandbox(AttackSuite):
        capabilities = frozenset({"filters_calls", "together"})

        def make_backend(self, project: airlock.Project) -> MyBackend:
            return MyBackend(project, MySettings())

It is for a `PooledBackend` with `limits` of its own, a private /tmp and no network, which runs scripts as
`airlock.worker` does; `BackendContract` is for all others. Every class of attack is a file. What only some can hold is
a capability (`ATTACK_CAPABILITIES`); $AIRLOCK_TEST_SOAK=1 asks for larger counts. Pools are shared: a whole run takes a
few hundred workers.

No attack is made where a first script can remove a file of this machine or kill a process of it. An attack that your
sandbox does not hold does what attacks do, so run this on a machine that you can do without.
"""

from . import assert_rewriting  # noqa: F401 - first: it prepares the import of the others
from .arena import ATTACK_CAPABILITIES, IS_SOAK, Arena, Pools
from .canaries import Pool
from .ends import Ends
from .files import Files
from .frames import HostileFrames
from .kernel import Kernel
from .limits import LimitAttacks
from .mixture import Mixture
from .network import Network
from .pauses import Pauses
from .processes import Processes
from .reached import ReachedLimits
from .values import HostileValues

__all__ = ["ATTACK_CAPABILITIES", "IS_SOAK", "Arena", "AttackSuite", "Mixture", "Pool", "Pools"]


class AttackSuite(
    Kernel, Files, Processes, Network, LimitAttacks, ReachedLimits, Pauses, Ends, HostileFrames, HostileValues
):
    """Subclass it, write `make_backend`, claim `capabilities`, and pytest does the rest.

    An attack that is not held is overridden with `pytest.mark.xfail(reason=...)`; without that, the class is refused.
    """
