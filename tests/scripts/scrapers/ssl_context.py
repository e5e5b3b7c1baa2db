import ssl

context = ssl.create_default_context()
print(context.verify_mode.name, context.check_hostname, ssl.HAS_TLSv1_3)
try:
    ssl.PEM_cert_to_DER_cert("nonsense")
except ValueError as error:
    print("ValueError", str(error)[:30])
