"""A client that writes to Redis while things break, as an application with redis-py does it.

Reads one line of JSON: how to connect. Tells once in a while how it fares, one JSON object on a line. After a second line
on standard input it looks for every acknowledged key and tells how many are gone.
"""

import json
import queue
import sys
import threading
import time

import redis
from redis.sentinel import Sentinel

PACE = 0.02
PATIENCE = 1.0

wanted = json.loads(sys.stdin.readline())
tls = {"ssl": True, "ssl_ca_certs": wanted["authority"], "ssl_cert_reqs": "required", "ssl_check_hostname": True}
timeouts = {"socket_timeout": PATIENCE, "socket_connect_timeout": PATIENCE}
login = {"username": "app", "password": wanted["password"]}


class Way:
    """A client of the library, by Sentinels or by one HAProxy after the other."""

    def __init__(self):
        self.turn = 0
        self.client = None

    def open(self):
        if self.client is None:
            if wanted["by"] == "sentinel":
                asks = {"username": "app", "password": wanted["sentinel_password"], **tls, **timeouts}
                sentinels = [(address, 26379) for address in wanted["addresses"]]
                found = Sentinel(sentinels, sentinel_kwargs=asks, **login, **tls, **timeouts)
                self.client = found.master_for(wanted["name"])
            else:
                address = wanted["addresses"][self.turn % len(wanted["addresses"])]
                self.client = redis.Redis(host=address, port=6379, **login, **tls, **timeouts)
        return self.client

    def close(self):
        if self.client is not None:
            self.client.close()
        self.client = None
        self.turn += 1


way = Way()
acknowledged, errors, longest, last = [], [], 0.0, None
stop = queue.Queue()
threading.Thread(target=lambda: stop.put(sys.stdin.readline()), daemon=True).start()
number, told = 0, 0.0
while stop.empty():
    number += 1
    try:
        client = way.open()
        if client.set(f"suite:{wanted['run']}:{number}", 1, ex=900):
            now = time.monotonic()
            if last is not None:
                longest = max(longest, now - last)
            last = now
            acknowledged.append(number)
    except redis.exceptions.RedisError as error:
        errors.append(f"{type(error).__name__}: {error}")
        way.close()
    now = time.monotonic()
    if now - told > 0.2:
        told = now
        silent = now - last if last is not None else now
        state = {"acknowledged": len(acknowledged), "silent": silent, "errors": len(errors), "last": errors[-1:]}
        print(json.dumps(state), flush=True)
    time.sleep(PACE)

# An outage that has not ended counts as well.
if last is not None:
    longest = max(longest, time.monotonic() - last)
lost = 0
client = way.open()
for begin in range(0, len(acknowledged), 500):
    keys = [f"suite:{wanted['run']}:{one}" for one in acknowledged[begin : begin + 500]]
    lost += len(keys) - client.exists(*keys)
print(json.dumps({"acknowledged": len(acknowledged), "lost": lost, "gap": longest, "errors": errors}), flush=True)
