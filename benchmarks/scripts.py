"""The scripts that the benchmarks run."""

SCRIPTS = {
    "print(1)": "print(1)",
    "json and re": (
        "import json, re\n"
        "rows = [{'id': n, 'name': f'item-{n}', 'tags': ['a', 'b']} for n in range(300)]\n"
        "text = json.dumps(rows)\n"
        "set_result([len(json.loads(text)), len(re.findall(r'item-(\\d+)', text))])"
    ),
    "100 kB of output": "print('x' * 100_000)",
    "a loop of 10^6 steps": "n = 0\nfor i in range(10**6):\n    n += i\nset_result(n)",
    "a pandas one-liner": "import pandas; print(pandas.DataFrame({'a': [1, 2, 3]}).a.sum())",
}
