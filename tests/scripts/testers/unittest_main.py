import unittest


class Sums(unittest.TestCase):
    def setUp(self):
        self.numbers = [1, 2, 3]

    def test_sum(self):
        self.assertEqual(sum(self.numbers), 6)

    @unittest.skip("later")
    def test_later(self):
        pass

    def test_raises(self):
        with self.assertRaisesRegex(ValueError, "literal"):
            int("x")


if __name__ == "__main__":
    unittest.main(argv=["tests", "-v"], exit=True)
