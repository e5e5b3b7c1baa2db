import getpass
import locale
import os
import pwd

user = pwd.getpwuid(os.getuid())
print(user.pw_name == getpass.getuser() == os.environ.get("USER", user.pw_name), os.path.isdir(os.path.expanduser("~")))
locale.setlocale(locale.LC_ALL, "C.UTF-8")
print(locale.getlocale()[1], os.getcwd() == os.path.dirname(os.path.abspath(__file__)))
