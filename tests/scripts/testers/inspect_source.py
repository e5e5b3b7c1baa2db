import inspect


class Tool:
    """Adds."""

    def run(self, a: int, b: int = 2) -> int:
        return a + b


print(inspect.getsource(Tool))
print(inspect.signature(Tool.run), inspect.getdoc(Tool), inspect.getsourcelines(Tool.run)[1])
print(inspect.getfile(Tool).endswith("main.py"))
