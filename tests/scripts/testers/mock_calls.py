from unittest import mock
import os

with mock.patch("os.getcwd", return_value="/somewhere"):
    print(os.getcwd())
api = mock.Mock(spec=["get"])
api.get.side_effect = [{"id": 1}, TimeoutError("slow")]
print(api.get("/x"))
try:
    api.get("/y")
except TimeoutError as error:
    print(error)
print(api.mock_calls)
try:
    api.post()
except AttributeError as error:
    print(error)
