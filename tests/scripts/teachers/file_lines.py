with open("poem.txt", "w", encoding="utf-8") as file:
    file.write("roses are red\nviolets are blue\n")
lines = open("poem.txt", encoding="utf-8").readlines()
print([line.strip().title() for line in lines], __file__.endswith("main.py"))
open("unclosed.txt", "w").write("written at the end")
