import multiprocessing
from dataclasses import dataclass


@dataclass
class Particle:
    x: float
    v: float


def step(particle):
    return Particle(particle.x + 0.5 * particle.v, particle.v * 0.9)


if __name__ == "__main__":
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        for particle in pool.map(step, [Particle(n, 1.0) for n in range(3)]):
            print(particle)
