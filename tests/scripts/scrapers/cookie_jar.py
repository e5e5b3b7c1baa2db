from http.cookies import SimpleCookie
from http import HTTPStatus
import http.cookiejar
import urllib.request

jar = http.cookiejar.CookieJar()
opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))
cookie = SimpleCookie("id=42; Path=/; HttpOnly; theme=dark")
print({name: morsel.value for name, morsel in cookie.items()}, len(jar), HTTPStatus(418).phrase)
print(cookie.output(header="Cookie:"))
