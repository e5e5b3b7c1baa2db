"""`airlock plugins`."""

from airlock.plugins import Plugin, Plugins

from .terminal import columns, fail, out, printable


def plugins() -> None:
    """Show which plugins are installed, what each one offers, and what is broken and why."""
    found = Plugins.discover()
    for line in columns([[str(plugin.source), _offer(plugin)] for plugin in found.sources]):
        out.print(printable(line))
    if found.broken:
        fail(*map(str, found.broken), code=1)


def _offer(plugin: Plugin) -> str:
    kinds = {
        "backends": plugin.backends,
        "mediators": plugin.mediators,
        "stores": plugin.stores,
        "projects": plugin.projects,
        "observes": plugin.observes,
    }
    offers = [f"{kind}: {', '.join(names)}" for kind, names in kinds.items() if names]
    return "; ".join([*offers, *(["routes"] if plugin.extends_app else [])]) or "nothing"
