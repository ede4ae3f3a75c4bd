"""libpq 18, as psycopg brings it, against the postgres door: OAUTHBEARER with tokens that this script hands out.

Reads cases as JSON lines: {"dsn": ..., "token": ... or null, "sql": ...}. Prints a JSON line for each: rows or
error, and how often libpq asked for a token, with what the server told it.
"""
import ctypes
import glob
import json
import os
import sys

os.environ["PGOAUTHDEBUG"] = "UNSAFE"  # An issuer on this machine, without TLS.
import psycopg

import psycopg_binary

assert psycopg.pq.version() >= 180000, psycopg.pq.version()
beside = os.path.join(os.path.dirname(os.path.dirname(psycopg_binary.__file__)), "psycopg_binary.libs")
libpq = ctypes.CDLL(glob.glob(os.path.join(beside, "libpq-*"))[0])


class Request(ctypes.Structure):
    _fields_ = [
        ("openid_configuration", ctypes.c_char_p),
        ("scope", ctypes.c_char_p),
        ("async_", ctypes.c_void_p),
        ("cleanup", ctypes.c_void_p),
        ("token", ctypes.c_char_p),
        ("user", ctypes.c_void_p),
    ]


current, asked = None, []


@ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(Request))
def hand_out(kind, connection, request):
    if kind != 1:  # PQAUTHDATA_OAUTH_BEARER_TOKEN
        return 0
    said = request.contents
    asked.append([text and text.decode() for text in (said.openid_configuration, said.scope)])
    if current is None:
        return -1
    request.contents.token = current
    return 1


libpq.PQsetAuthDataHook(hand_out)

for line in sys.stdin:
    case = json.loads(line)
    current = case["token"] and case["token"].encode()
    asked.clear()
    try:
        with psycopg.connect(case["dsn"], autocommit=True) as connection:
            said = {"rows": connection.execute(case["sql"]).fetchall()}
    except psycopg.Error as error:
        said = {"error": str(error)}
    print(json.dumps(said | {"asked": asked}, default=str), flush=True)
