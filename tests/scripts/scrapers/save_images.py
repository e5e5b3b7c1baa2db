import io

from PIL import Image, ImageDraw

sizes = []
for number, colour in enumerate(("red", "green", "blue")):
    image = Image.new("RGB", (64, 48), colour)
    ImageDraw.Draw(image).rectangle([8, 8, 20, 20], fill="white")
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    image.resize((32, 24)).save(f"thumb{number}.jpg")
    sizes.append(Image.open(io.BytesIO(buffer.getvalue())).getpixel((0, 0)))
print(sizes, Image.open("thumb0.jpg").size)
