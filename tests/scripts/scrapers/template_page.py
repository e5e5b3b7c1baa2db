from jinja2 import DictLoader, Environment, UndefinedError, StrictUndefined

env = Environment(loader=DictLoader({"page": "{% for i in items %}<li>{{ i|e }}</li>{% endfor %}{{ missing }}"}), undefined=StrictUndefined)
try:
    env.get_template("page").render(items=["<a>", "b"])
except UndefinedError as error:
    print(error)
print(env.from_string("{{ items|join(', ')|upper }}").render(items=["a", "b"]))
