from urllib import robotparser
from urllib.parse import parse_qs, quote, urljoin, urlsplit

rules = robotparser.RobotFileParser()
rules.parse("User-agent: *\nDisallow: /private/\nCrawl-delay: 2".splitlines())
for path in ("/", "/private/x", "/privat"):
    print(path, rules.can_fetch("bot", path))
print(rules.crawl_delay("bot"), urljoin("http://h/a/b?c=1", "../d"), quote("ä b/ß"))
print(parse_qs(urlsplit("http://h/?a=1&a=2&b=%20").query))
