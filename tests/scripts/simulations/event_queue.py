import heapq

events, served = [(0.0, 0, "arrive")], []
clock, number = 0.0, 1
while events and len(served) < 5:
    clock, order, kind = heapq.heappop(events)
    if kind == "arrive":
        heapq.heappush(events, (clock + 1.5, number, "arrive"))
        heapq.heappush(events, (clock + 2.25, number + 1, "leave"))
        number += 2
    else:
        served.append(clock)
print(served)
