"""Strict receivers of exports, all behind one port, that go wrong on command.

    python tests/peer/receivers FOLDER [SETTINGS]

SETTINGS is JSON: `port`, `control`, `certificate` and `key` for TLS, `wrong_certificate` and `wrong_key`, `client_ca`, and for each
receiver (`splunk`, `elastic`, `sentinel`, `otlp`, `webhook`) what its file says. What is taken is kept in FOLDER/seen.ndjson. Prints one
line, the ports of the receivers and of the control: GET /_seen, /_requests, /_complaints, /_felt; POST / with faults (faults.py), with
`refuse` (seconds without a listener), or with settings.
"""
import json
import os
import sys
import threading

from bulk import Elastic
from faults import Faults
from hec import Splunk
from hook import Webhook
from ingestion import Sentinel
from otlp import Otlp
from server import Server, context, control
from store import Store

folder = sys.argv[1]
settings = json.loads(sys.argv[2]) if len(sys.argv) > 2 else {}
os.makedirs(folder, exist_ok=True)
store, faults = Store(os.path.join(folder, "seen.ndjson")), Faults()
services = [kind(store, faults, settings.get(kind.name, {})) for kind in (Splunk, Sentinel, Otlp, Webhook, Elastic)]
right = wrong = None
if certificate := settings.get("certificate"):
    right = context(certificate, settings["key"], settings.get("client_ca"))
    wrong = context(settings.get("wrong_certificate", certificate), settings.get("wrong_key", settings["key"]))
server = Server(services, store, faults, settings.get("port", 0), right, wrong)
print(server.port, control(server, settings.get("control", 0)), flush=True)
threading.Event().wait()
