"""Observers see every event, and cannot hurt each other."""

import logging
from dataclasses import FrozenInstanceError
from types import SimpleNamespace
from typing import Any

import pytest
from tests.plugins.conftest import plugin

from airlock import ExecutionResult, LLMRequest, Pool
from airlock.models import ExecutionStatus
from airlock.plugins import ExecutionFinished, LLMAnswered, LLMRequested, PoolChanged, notify_observers
from airlock.plugins.events import HOOK_OF, Event
from airlock.plugins.manager import Plugins
from airlock.plugins.plugin import Source


def observing(seen: list[Event]) -> SimpleNamespace:
    def note(event: Event) -> None:
        seen.append(event)

    return plugin(**dict.fromkeys(HOOK_OF.values(), note))


EVENTS: list[Event] = [
    PoolChanged(project="p", pool=Pool(replicas=1, idle=1), seconds=0.5),
    LLMRequested(project="p", execution_id="1", request=LLMRequest(prompt="why")),
    LLMAnswered(project="p", execution_id="1", request=LLMRequest(prompt="why"), response="because"),
    ExecutionFinished(project="p", result=ExecutionResult(execution_id="1", status=ExecutionStatus.completed)),
]


def test_observers_see_every_event() -> None:
    seen: list[Event] = []
    plugins = Plugins()
    plugins.register(observing(seen))
    for event in EVENTS:
        notify_observers(plugins, event)
    assert seen == EVENTS


def test_an_observer_may_leave_the_event_out() -> None:
    seen: list[str] = []
    plugins = Plugins()
    plugins.register(plugin(airlock_pool_changed=lambda: seen.append("changed")))
    notify_observers(plugins, EVENTS[0])
    assert seen == ["changed"]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_no_observer_can_change_what_the_next_one_sees(event: Any) -> None:
    with pytest.raises(FrozenInstanceError):
        event.project = "another"
    with pytest.raises((AttributeError, TypeError)):
        event.mine = 1


def test_observer_that_raises_is_logged_with_its_traceback_and_hurts_no_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(event: PoolChanged) -> None:
        raise ZeroDivisionError(event.project)

    seen: list[Event] = []
    plugins = Plugins()
    plugins.register(plugin(airlock_pool_changed=fail), Source("bad", "airlock-bad", "0.1"))
    plugins.register(observing(seen))
    notify_observers(plugins, EVENTS[0])
    assert len(seen) == 1
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.getMessage() == "plugin airlock-bad 0.1 failed in airlock_pool_changed"
    assert record.exc_info is not None
    assert record.exc_info[0] is ZeroDivisionError
