"""Certificates of clients at the HTTP door, by Python's own HTTP and TLS.

Arguments: port, token, what signs the server, then chain and key of the right client, of a stranger's and of one
that is for servers. Prints one line for each thing that was seen.
"""
import http.client
import ssl
import sys

port, token, root = int(sys.argv[1]), sys.argv[2], sys.argv[3]
right, stranger, purpose = zip(sys.argv[4::2], sys.argv[5::2])


def ask(client, token, version=ssl.TLSVersion.TLSv1_3):
    context = ssl.create_default_context(cafile=root)
    context.maximum_version = version
    if client:
        context.load_cert_chain(*client)
    connection = http.client.HTTPSConnection("localhost", port, context=context, timeout=20)
    connection.request("GET", "/api/sql?q=select%201%20as%20one", headers={"authorization": f"Bearer {token}"} if token else {})
    return connection.getresponse().status


def refused(client, version=ssl.TLSVersion.TLSv1_3):
    try:
        return f"answered {ask(client, token, version)}"
    except (ssl.SSLError, ConnectionError, http.client.RemoteDisconnected) as error:
        return error


def saw(what, right):
    assert right, what
    print(what)


saw("right", ask(right, token) == 200)
saw("right, but nobody signs in", ask(right, None) == 401)
for name, client in {"none": None, "stranger": stranger, "purpose": purpose}.items():
    says = refused(client)
    saw(f"{name}: {says}", isinstance(says, Exception))
says = refused(None, ssl.TLSVersion.TLSv1_2)
saw(f"none by TLS 1.2: {says}", isinstance(says, ssl.SSLError))
