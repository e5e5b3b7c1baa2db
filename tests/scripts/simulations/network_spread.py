import networkx as nx

graph = nx.barabasi_albert_graph(60, 2, seed=4)
infected = {0}
for day in range(4):
    infected |= {n for node in infected for n in graph[node] if (n + day) % 3 == 0}
    print(day, len(infected))
print(nx.is_connected(graph), nx.diameter(graph))
