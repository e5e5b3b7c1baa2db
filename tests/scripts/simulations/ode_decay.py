import numpy as np
from scipy.integrate import solve_ivp

solution = solve_ivp(lambda t, y: [-0.5 * y[0]], (0, 10), [8.0], t_eval=np.linspace(0, 10, 5), rtol=1e-8)
print(solution.status, np.round(solution.y[0], 5))
