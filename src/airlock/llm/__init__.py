"""The contract of mediators, which answer `llm.complete`, and the default one: the polling agent answers.

Runs call them; plugins implement them. A mediator sees single requests and must not know their execution.
"""

from .agent import AgentMediator
from .mediator import AskAgent, Mediator, MediatorSettings

__all__ = [
    "AgentMediator",
    "AskAgent",
    "Mediator",
    "MediatorSettings",
]
