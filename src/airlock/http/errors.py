"""Every refusal that only HTTP raises; those of the gateway are in `airlock.errors`.

RequestError
├── NotHttp          400  connection.py
├── MalformedBody    400  requests.py
├── Unauthorized     401  access.py
├── NotLocal         403  access.py
├── TooSlow          408  connection.py
├── BodyTooLarge     413  requests.py, connection.py
├── PathTooLong      414  connection.py
├── UnsupportedMedia 415  requests.py
├── HeadTooLarge     431  connection.py
├── Fault            500  problems.py
└── TooManyBodies    503  requests.py
"""

from __future__ import annotations

from airlock.errors import RequestError


class NotHttp(RequestError):
    """Raised when what arrives is not valid HTTP/1.1."""

    status, code, title = 400, "bad_request", "The request is not valid HTTP"


class MalformedBody(RequestError):
    """Raised when a body is not strict JSON in UTF-8."""

    status, code, title = 400, "bad_request", "The body is not strict JSON"


class Unauthorized(RequestError):
    """Raised when the server has keys and the request has none of them."""

    status, code, title = 401, "unauthorized", "A key is required"

    @property
    def headers(self) -> dict[str, str]:
        """Says how to send a key."""
        return {"WWW-Authenticate": "Bearer"}


class NotLocal(RequestError):
    """Raised when there are no keys, a project runs code, and the request may come from elsewhere."""

    status, code, title = 403, "not_local", "Only for programs on this machine"


class TooSlow(RequestError):
    """Raised when a request is not complete in time."""

    status, code, title = 408, "request_timeout", "The request came too slowly"


class BodyTooLarge(RequestError):
    """Raised when a body is larger than any request needs."""

    status, code, title = 413, "content_too_large", "The body is too large"


class PathTooLong(RequestError):
    """Raised when a path with its query is longer than any that exists."""

    status, code, title = 414, "uri_too_long", "The path is too long"


class UnsupportedMedia(RequestError):
    """Raised when a body is not plain `application/json`."""

    status, code, title = 415, "unsupported_media_type", "The body is not application/json"


class HeadTooLarge(RequestError):
    """Raised when headers are larger than any request needs."""

    status, code, title = 431, "request_header_fields_too_large", "The headers are too large"


class Fault(RequestError):
    """What a client is told of an exception that was not raised on purpose."""

    status, code, title = 500, "internal", "Airlock failed"


class TooManyBodies(RequestError):
    """Raised when the bodies that arrive at once would take too much memory."""

    status, code, title, retry_after = 503, "too_many_bodies", "Too many large bodies at once", 5
