"""What a receiver has taken in: a file of lines that outlives a kill, and what was asked and complained about."""
import json
import os
import threading
import time


class Store:
    """Each line is one item: its number, its request, the service, an id if the protocol has one, and the item."""

    def __init__(self, path):
        self.lock = threading.Lock()
        self.requests, self.complaints = [], []
        self.ids = set()
        whole = b""
        if os.path.exists(path):
            with open(path, "rb") as file:
                text = file.read()
            # A kill may leave half a line; what it was part of had no answer.
            whole = text[: text.rfind(b"\n") + 1]
        lines = [json.loads(line) for line in whole.splitlines()]
        self.ids = {(line["service"], line["id"]) for line in lines if line["id"] is not None}
        self.count = len(lines)
        self.path = path
        self.file = os.open(path, os.O_WRONLY | os.O_CREAT)
        os.ftruncate(self.file, len(whole))
        os.lseek(self.file, 0, os.SEEK_END)

    def add(self, service, request, items):
        """Keeps items, as pairs of id and item, before anybody is told of them."""
        with self.lock:
            text = b""
            for identity, item in items:
                line = {"n": self.count, "at": time.time(), "service": service, "request": request, "id": identity, "item": item}
                self.count += 1
                if identity is not None:
                    self.ids.add((service, identity))
                text += json.dumps(line).encode() + b"\n"
            while text:
                text = text[os.write(self.file, text) :]

    def has(self, service, identity):
        with self.lock:
            return (service, identity) in self.ids

    def seen(self, after=0):
        with open(self.path, "rb") as file:
            return b"".join(file.readlines()[after:])

    def noted(self, entry):
        with self.lock:
            self.requests.append(entry)

    def complain(self, service, text):
        """Notes what a service in the field may let pass and its documentation does not."""
        with self.lock:
            self.complaints.append(f"{service}: {text}")
