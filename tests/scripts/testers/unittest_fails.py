import unittest


class Wrong(unittest.TestCase):
    def test_wrong(self):
        self.assertEqual({"a": 1}, {"a": 2})


unittest.main()
