"""HTTP as the receivers speak it, with or without TLS, and a door beside it for those who command the faults."""
import email.utils
import http.server
import json
import socket
import ssl
import struct
import threading
import time
import urllib.parse
import zlib

MOST_INFLATED = 64 << 20


class Reply:
    """An answer, and the pairs of id and item that are stored before it is given."""

    def __init__(self, status, body=b"", headers=None, items=()):
        if isinstance(body, (dict, list)):
            body = json.dumps(body).encode()
            headers = dict({"Content-Type": "application/json"}, **(headers or {}))
        self.status, self.body, self.headers, self.items = status, body, headers or {}, items


class Exchange:
    """One request: its path, its query, its headers and its body as sent and inflated."""

    def __init__(self, method, target, headers, raw, number):
        url = urllib.parse.urlsplit(target)
        self.method, self.path, self.headers, self.raw, self.number = method, url.path, headers, raw, number
        self.query = dict(urllib.parse.parse_qsl(url.query))
        self.fault = {}
        self.body, self.damaged = raw, None
        encoding = headers.get("Content-Encoding")
        if encoding == "gzip":
            try:
                inflate = zlib.decompressobj(31)
                self.body = inflate.decompress(raw, MOST_INFLATED)
                if inflate.unconsumed_tail or not inflate.eof or inflate.unused_data:
                    self.damaged = "the gzip is cut off, too large, or has something behind it"
            except zlib.error as error:
                self.damaged = str(error)
        elif encoding is not None:
            self.damaged = f"the encoding {encoding} is not known"

    def media(self):
        return (self.headers.get("Content-Type") or "").split(";")[0].strip().lower()

    def is_fault(self, kind):
        return self.fault.get("kind") == kind


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def setup(self):
        own = self.server.own
        self.request.settimeout(120)
        fault = own.faults.draw(None, connection=True) or {}
        if fault.get("kind") == "close_early":
            raise ConnectionAbortedError
        if own.right:
            context = own.wrong if fault.get("kind") == "tls_wrong" else own.right
            self.request = context.wrap_socket(self.request, server_side=True)
        super().setup()

    def log_message(self, *_):
        pass

    def read_body(self):
        if (self.headers.get("Transfer-Encoding") or "").lower() == "chunked":
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def handle_any(self):
        own = self.server.own
        if (self.headers.get("Expect") or "").lower() == "100-continue":
            self.send_response_only(100)
            self.end_headers()
        body = self.read_body()
        exchange = Exchange(self.command, self.path, self.headers, body, own.number())
        service = own.service(exchange.path)
        if service is None:
            return self.give(Reply(404, {"error": f"nothing is at {exchange.path}"}))
        fault = exchange.fault = own.faults.draw(service.name) or {}
        kind = fault.get("kind")
        note = {
            "n": exchange.number, "at": time.time(), "service": service.name, "path": self.path, "fault": kind, "bytes": len(body),
            "agent": self.headers.get("User-Agent"), "encoding": self.headers.get("Content-Encoding"),
        }
        own.store.noted(note)
        if kind == "status":
            headers = {}
            if after := fault.get("retry_after"):
                headers["Retry-After"] = str(after)
                if str(after).startswith("date:"):
                    headers["Retry-After"] = email.utils.formatdate(time.time() + float(after[5:]), usegmt=True)
            reply = Reply(fault["status"], str(fault.get("body", "busy")).encode(), headers)
        elif kind == "garbage":
            reply = Reply(200, str(fault.get("body", "<html>Welcome to the portal</html>")).encode(), {"Content-Type": "text/html"})
        elif kind == "redirect":
            reply = Reply(307, b"", {"Location": fault["location"]})
        elif kind in ("cut_before", "reset"):
            note["status"] = kind
            return self.cut(kind == "reset")
        else:
            if kind == "hang" and not fault.get("stored"):
                time.sleep(fault["seconds"])
                note["status"] = "hang"
                return self.cut(False)
            reply = service.answer(exchange)
            own.store.add(service.name, exchange.number, reply.items)
        note["status"], note["items"] = reply.status, len(reply.items)
        if kind == "hang":
            time.sleep(fault["seconds"])
            return self.cut(False)
        if kind == "cut_after":
            return self.cut(False)
        self.give(reply, fault)

    do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = handle_any

    def give(self, reply, fault=None):
        kind = (fault or {}).get("kind")
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if reply.status != 204:
            self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        body = b"" if self.command == "HEAD" or reply.status == 204 else reply.body
        if kind == "cut_midway":
            self.wfile.write(body[: len(body) // 2])
            return self.cut(False)
        if kind == "slow":
            for n in range(len(body)):
                self.wfile.write(body[n : n + 1])
                time.sleep(fault["seconds"] / max(len(body), 1))
            return
        self.wfile.write(body)

    def cut(self, reset):
        self.close_connection = True
        if reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        try:
            if not reset:
                self.connection.shutdown(socket.SHUT_RDWR)
            self.connection.close()
        except OSError:
            pass


class Listener(http.server.ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64

    def handle_error(self, *_):
        # Cuts and refused handshakes are what this is for.
        pass


class Server:
    """The receivers behind one port."""

    def __init__(self, services, store, faults, port=0, right=None, wrong=None):
        self.services, self.store, self.faults = services, store, faults
        self.right, self.wrong = right, wrong
        self.lock, self.last = threading.Lock(), 0
        self.listener, self.port = None, port
        self.open()

    def number(self):
        with self.lock:
            self.last += 1
            return self.last

    def service(self, path):
        return next((service for service in self.services if service.takes(path)), None)

    def open(self):
        self.listener = Listener(("127.0.0.1", self.port), Handler)
        self.port = self.listener.server_address[1]
        self.listener.own = self
        threading.Thread(target=self.listener.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def refuse(self, seconds):
        """Nobody listens for a while."""
        self.listener.shutdown()
        self.listener.server_close()
        threading.Timer(seconds, self.open).start()


class Control(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, body, kind="application/json"):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        store, faults = self.server.own.store, self.server.own.faults
        url = urllib.parse.urlsplit(self.path)
        if url.path == "/_seen":
            after = int(dict(urllib.parse.parse_qsl(url.query)).get("after", 0))
            return self.answer(store.seen(after), "application/x-ndjson")
        listed = {"/_requests": store.requests, "/_complaints": store.complaints, "/_felt": faults.felt}
        self.answer(json.dumps(listed[url.path]).encode())

    def do_POST(self):
        wanted = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if seconds := wanted.get("refuse"):
            self.server.own.refuse(seconds)
        self.server.own.faults.set(wanted)
        for service in self.server.own.services:
            service.set(wanted.get(service.name, {}))
        self.answer(b"{}")


def control(server, port=0):
    listener = Listener(("127.0.0.1", port), Control)
    listener.own = server
    threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    return listener.server_address[1]


def context(certificate, key, client_ca=None):
    own = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    own.minimum_version = ssl.TLSVersion.TLSv1_2
    own.load_cert_chain(certificate, key)
    if client_ca:
        own.verify_mode = ssl.CERT_REQUIRED
        own.load_verify_locations(client_ca)
    return own


class Service:
    """A receiver's protocol; `settings` are its own, and can be changed on command."""

    name = ""
    settings = {}

    def __init__(self, store, faults, settings):
        self.store, self.faults = store, faults
        self.settings = dict(type(self).settings, **settings)

    def set(self, wanted):
        self.settings.update(wanted)

    def complain(self, text):
        self.store.complain(self.name, text)

    def refused(self, n, item_text, exchange):
        """The status with which the n-th item of this request is refused, if it is."""
        if self.faults.poisoned(item_text):
            return 400
        if exchange.is_fault("partial") and (n + 1) % exchange.fault.get("every", 2) == 0:
            return exchange.fault.get("status", 400)
        return None
