from decimal import ROUND_HALF_UP, Decimal, getcontext

getcontext().prec = 12
lines = [("desk", 1, "349.99"), ("lamp", 3, "24.95"), ("cable", 7, "3.333")]
total = sum(Decimal(price) * count for _, count, price in lines)
tax = (total * Decimal("0.19")).quantize(Decimal("0.01"), ROUND_HALF_UP)
print(f"{total:>12}\n{tax:>12}\n{total + tax:>12.2f}")
