import random


def quick(items):
    if len(items) < 2:
        return items
    pivot, *rest = items
    return quick([x for x in rest if x < pivot]) + [pivot] + quick([x for x in rest if x >= pivot])


def bubble(items):
    items, swaps = list(items), 0
    for end in range(len(items), 1, -1):
        for i in range(1, end):
            if items[i - 1] > items[i]:
                items[i - 1], items[i] = items[i], items[i - 1]
                swaps += 1
    return items, swaps


random.seed(1)
numbers = random.sample(range(1000), 60)
print(quick(numbers) == sorted(numbers) == bubble(numbers)[0], bubble(numbers)[1])
