import json
from collections import Counter
from pathlib import Path

path = Path("events.jsonl")
path.write_text("\n".join(json.dumps({"user": f"u{n % 3}", "ok": n % 4 != 0}) for n in range(20)))
counts = Counter()
for number, line in enumerate(path.open(), 1):
    event = json.loads(line)
    counts[event["user"], event["ok"]] += 1
for key, count in sorted(counts.items()):
    print(f"{key[0]:<4}{str(key[1]):<6}{count:>3}")
