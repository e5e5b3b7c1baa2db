import sympy as sp

t, g, v = sp.symbols("t g v", positive=True)
height = v * t - g * t**2 / 2
print(sp.solve(sp.diff(height, t), t), sp.factor(height), sp.integrate(height, (t, 0, v / g)))
print(sp.N(sp.pi, 30))
