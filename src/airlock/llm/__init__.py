"""The contract of mediators, which answer `llm.complete`, and the default: the agent that polls.

Runs call them; plugins implement them. Each call of a mediator gets one request: it must know nothing of the execution.
"""

from .agent import AgentMediator
from .mediator import AskAgent, Mediator, MediatorSettings

__all__ = [
    "AgentMediator",
    "AskAgent",
    "Mediator",
    "MediatorSettings",
]
