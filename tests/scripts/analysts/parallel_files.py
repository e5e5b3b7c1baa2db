from concurrent.futures import ProcessPoolExecutor
from pathlib import Path


def words(path):
    return path.name, len(path.read_text().split())


if __name__ == "__main__":
    for number in range(6):
        Path(f"part{number}.txt").write_text("word " * (number * 10))
    with ProcessPoolExecutor(2) as pool:
        for name, count in pool.map(words, sorted(Path().glob("part*.txt"))):
            print(name, count)
