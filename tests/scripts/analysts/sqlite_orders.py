import sqlite3

with sqlite3.connect("orders.db") as db:
    db.execute("create table orders (id integer primary key, customer text, amount real)")
    db.executemany("insert into orders (customer, amount) values (?, ?)", [("ann", 10), ("bob", 5.5), ("ann", 2.25)])
for row in db.execute("select customer, count(*), sum(amount) from orders group by customer order by 1"):
    print(*row, sep="\t")
print(db.execute("pragma integrity_check").fetchone()[0])
