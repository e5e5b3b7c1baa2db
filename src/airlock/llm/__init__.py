"""The contract of mediators, who answer `llm.complete`, and the default: the agent that polls.

Runs call them; plugins implement them. A mediator sees one request at a time and must know no execution.
"""

from .agent import AgentMediator
from .mediator import AskAgent, Mediator, MediatorSettings

__all__ = [
    "AgentMediator",
    "AskAgent",
    "Mediator",
    "MediatorSettings",
]
