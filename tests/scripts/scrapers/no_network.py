"""What a scraper says that cannot leave."""
import sys
import urllib.error
import urllib.request

try:
    urllib.request.urlopen("http://192.0.2.1/", timeout=3)
except urllib.error.URLError as error:
    print("unreachable")
    sys.exit(4)
