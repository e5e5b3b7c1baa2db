def describe(shape):
    match shape:
        case {"kind": "circle", "r": r}:
            return f"circle of radius {r}"
        case [x, y]:
            return f"point {x}, {y}"
        case str() as text if text:
            return text
        case _:
            return "unknown"


for shape in ({"kind": "circle", "r": 2}, (1, 2), "text", None):
    print(describe(shape))
