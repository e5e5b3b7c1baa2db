import matplotlib
matplotlib.use("Agg")
import matplotlib.pyplot as plt
from PIL import Image

fig, ax = plt.subplots(figsize=(4, 3), dpi=100)
ax.bar(["mon", "tue", "wed"], [3, 1, 2])
ax.set_title("Visits")
fig.savefig("chart.png")
with Image.open("chart.png") as image:
    print(image.format, image.size)
