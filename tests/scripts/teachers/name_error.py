student = "Ada"
print("Hello,", student)
print("Goodbye,", studnet)
