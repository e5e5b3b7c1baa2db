import logging
import unittest


class Logs(unittest.TestCase):
    def test_warning(self):
        with self.assertLogs("app", "WARNING") as caught:
            logging.getLogger("app").warning("disk %d%%", 91)
        self.assertEqual(caught.output, ["WARNING:app:disk 91%"])

    def test_subtests(self):
        for number in range(3):
            with self.subTest(number=number):
                self.assertLess(number, 3)


result = unittest.TextTestRunner(stream=open("/dev/null", "w")).run(unittest.defaultTestLoader.loadTestsFromTestCase(Logs))
print(result.testsRun, result.wasSuccessful())
