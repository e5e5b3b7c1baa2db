"""Attacks that every sandbox for CPython must withstand, judged by effect: a canary, a return code, a process left.

    class TestMySandbox(AttackSuite):
        capabilities = frozenset({"filters_calls", "together"})

        def make_backend(self, project: airlock.Project) -> MyBackend:
            return MyBackend(project, MySettings())

It is for a `PooledBackend` with its own `limits`, a private /tmp and no network, which runs scripts as `airlock.worker`
does; for all others use `BackendContract`. Each kind of attack has a file. What only some sandboxes withstand is a
capability (`ATTACK_CAPABILITIES`); $AIRLOCK_TEST_SOAK=1 runs larger counts. Tests share pools: a whole run takes a few
hundred workers.

If a first script can remove a file or kill a process of this machine, no attacks run. An attack that your sandbox does
not withstand does real damage, so run the suite on a machine that you can afford to lose.
"""

from . import assert_rewriting  # noqa: F401 - first: the other imports need it
from .arena import ATTACK_CAPABILITIES, IS_SOAK, Arena, Pools
from .budgets import Budgets
from .canaries import Pool
from .causes import TrueCauses
from .descriptors import Descriptors
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
    Kernel,
    Budgets,
    Files,
    Descriptors,
    Processes,
    Network,
    LimitAttacks,
    ReachedLimits,
    TrueCauses,
    Pauses,
    Ends,
    HostileFrames,
    HostileValues,
):
    """Subclass it, write `make_backend` and claim `capabilities`; pytest does the rest.

    Override an attack that succeeds with `pytest.mark.xfail(reason=...)`; without that, the class is refused.
    """
