"""Notifies plugins of events. An observer that fails affects nothing else."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from .events import HOOK_OF

if TYPE_CHECKING:
    from .events import Event
    from .manager import Plugins

log = logging.getLogger(__name__)


def notify_observers(plugins: Plugins, event: Event) -> None:
    """Pass an event to every plugin that observes it. Exceptions are logged."""
    hook = HOOK_OF[type(event)]
    for plugin in plugins.sources:
        if hook in plugin.observes:
            try:
                getattr(plugin.hooks.hook, hook)(event=event)
            except (Exception, SystemExit):  # the boundary to a plugin
                log.exception("plugin %s failed in %s", plugin.source, hook)
