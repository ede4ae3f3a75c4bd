"""What is to go wrong: faults by count, by a seed, or for items with a certain text.

A fault is an object: `kind`, and what else the kind takes.

    status     `status`, `retry_after` (seconds, or "date:SECONDS"), `body`    nothing is stored
    cut_before                               nothing is stored, no answer
    cut_after                                all is stored, no answer
    cut_midway                               all is stored, half an answer
    reset                                    nothing is stored, the connection is reset
    slow       `seconds`                     stored, the answer comes byte by byte
    hang       `seconds`, `stored`           no answer at all
    garbage    `body`                        a success whose body means nothing; nothing is stored
    redirect   `location`                    307; nothing is stored
    partial    `every`, `status`             every n-th item is refused
    ack        `how`: never, lost, late, foreign    what becomes of an acknowledgement of Splunk
    tls_wrong                                the connection shows another certificate
    close_early                              the connection closes before a request is read

`service` (any unless given), `times` (1 unless given), `skip` (so many requests before it).
`poison` is a text; an item that has it is refused for good.
"""
import random
import threading

CONNECTION = ("tls_wrong", "close_early")


class Faults:
    def __init__(self):
        self.lock = threading.Lock()
        self.clear()

    def clear(self):
        with self.lock:
            self.listed, self.poison, self.chance, self.rate, self.felt = [], [], None, 0.0, {}
            self.kinds, self.lot = [], None

    def set(self, wanted):
        """`faults`, `poison`, `seed` with `rate` and `kinds`; `clear` first if it says so."""
        if wanted.get("clear"):
            self.clear()
        with self.lock:
            self.listed += [dict({"times": 1, "skip": 0, "service": None}, **fault) for fault in wanted.get("faults", [])]
            self.poison += wanted.get("poison", [])
            if "seed" in wanted:
                self.lot = random.Random(wanted["seed"])
                self.rate, self.kinds = wanted["rate"], wanted["kinds"]

    def draw(self, service, connection=False):
        """The fault that this request or connection meets, if any."""
        with self.lock:
            for fault in self.listed:
                if (fault["kind"] in CONNECTION) != connection or fault["service"] not in (None, service):
                    continue
                if fault["skip"] > 0:
                    fault["skip"] -= 1
                    continue
                if fault["times"] > 0:
                    fault["times"] -= 1
                    return self._feel(fault)
            if self.lot and self.lot.random() < self.rate:
                kinds = [kind for kind in self.kinds if (kind["kind"] in CONNECTION) == connection]
                kinds = [kind for kind in kinds if kind.get("service") in (None, service)]
                if kinds:
                    return self._feel(self.lot.choice(kinds))
            return None

    def _feel(self, fault):
        self.felt[fault["kind"]] = self.felt.get(fault["kind"], 0) + 1
        return fault

    def poisoned(self, text):
        with self.lock:
            return any(poison in text for poison in self.poison)
