def check(value):
    assert value > 0, f"value must be positive, not {value}"


check(1)
check(-1)
