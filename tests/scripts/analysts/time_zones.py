from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

start = datetime(2024, 3, 30, 12, tzinfo=ZoneInfo("Europe/Berlin"))
for days in range(3):
    local = start + timedelta(days=days)
    print(local.isoformat(), local.astimezone(timezone.utc).strftime("%H:%M %Z"))
