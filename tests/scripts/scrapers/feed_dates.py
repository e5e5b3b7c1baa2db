from email.utils import format_datetime, parsedate_to_datetime
from xml.etree import ElementTree

RSS = """<rss><channel><item><title>Old</title><pubDate>Mon, 01 Jan 2024 10:00:00 +0100</pubDate></item>
<item><title>New</title><pubDate>Tue, 02 Jan 2024 08:30:00 GMT</pubDate></item></channel></rss>"""
items = [(parsedate_to_datetime(i.findtext("pubDate")), i.findtext("title")) for i in ElementTree.fromstring(RSS).iter("item")]
for when, title in sorted(items, reverse=True):
    print(when.isoformat(), format_datetime(when), title)
