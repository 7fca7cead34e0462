"""Runs `calls.py`: each function with an account of its own, and each collection that the simulator serves has a function.

    SIMULATOR=target/debug/simulator python run.py [function ...]

Needs what is in requirements.txt. The variable names the simulator's program.
"""

import inspect
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import traceback
import urllib.request

from databricks.sdk import AccountClient, WorkspaceClient

import calls

# A function that takes longer hangs.
SECONDS = 60


resolve = socket.getaddrinfo
socket.getaddrinfo = lambda host, *more, **named: resolve("127.0.0.1" if str(host).endswith(".localhost") else host, *more, **named)


class Simulator:
    """A simulated account in a process of its own."""

    def __init__(self):
        self.process = subprocess.Popen([os.environ["SIMULATOR"]], stdout=subprocess.PIPE, text=True)
        self.started = json.loads(self.process.stdout.readline())
        self.set(page_size=2, start_ms=0, provisioning_ms=0, deletion_ms=0)

    def stop(self):
        self.process.terminate()
        self.process.wait()

    def client(self, **other):
        """The SDK as anyone would create it."""
        started = {"host": self.started["url"], **{name: self.started[name] for name in ("account_id", "client_id", "client_secret")}}
        return AccountClient(**{**started, **other})

    def workspace(self, deployment):
        """The SDK for a workspace. Not every system knows that names below `localhost` are this machine."""
        port = self.started["url"].rsplit(":", 1)[1]
        login = {name: self.started[name] for name in ("client_id", "client_secret")}
        return WorkspaceClient(host=f"http://{deployment}.localhost:{port}", **login)

    def control(self, method, path, body=None):
        """A call of the control API, which the README of the simulator describes."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.started['url']}/_simulator/{path}", method=method, data=data)
        with urllib.request.urlopen(request) as response:
            return json.load(response)

    def set(self, **settings):
        """Changes settings of the simulator."""
        self.control("POST", "settings", settings)

    def calls(self, collection):
        """The calls of a collection so far, each as method and whether it was carried out with success."""
        return [(call["method"], call["applied"]) for call in self.control("GET", "journal") if collection_of(call) == collection]


def collection_of(call):
    """The collection of a recorded call, as the simulator names it."""
    folder = {"scim": r"/scim/v2/(\w+)", "settings": r"/(settings)/types/(\w+)"}.get(call["class"])
    return "/".join(re.search(folder, call["path"]).groups()) if folder else call["class"]


def function_of(collection):
    """The name of the function of a collection: `rule-sets` is called by `rule_sets`."""
    return re.sub(r"\W", "_", collection).lower()


def attempt(name, served):
    """Runs one function; returns what is wrong."""
    signal.alarm(SECONDS)
    sim = Simulator()
    try:
        getattr(calls, name)(sim.client(), sim)
        if served is None:
            return None
        methods = {method for method, applied in sim.calls(served["name"]) if applied}
        if methods != set(served["methods"]):
            return f"served: {sorted(served['methods'])}; {name} called with success: {sorted(methods)}"
    except Exception:  # Also that of the alarm.
        return traceback.format_exc()
    finally:
        signal.alarm(0)
        sim.stop()


def hang(*_):
    raise TimeoutError(f"not done in {SECONDS} s")


def main(wanted):
    signal.signal(signal.SIGALRM, hang)
    sim = Simulator()
    collections = {function_of(served["name"]): served for served in sim.control("GET", "collections")}
    sim.stop()
    functions = [name for name, _ in inspect.getmembers(calls, inspect.isfunction)]
    stories = {name: None for name in functions if name.startswith("story_")}
    wrong = [f"{served['name']}: calls.py has no function {name}" for name, served in collections.items() if name not in functions]
    for name, served in {**collections, **stories}.items():
        if (wanted and name not in wanted) or name not in functions:
            continue
        begin = time.monotonic()
        problem = attempt(name, served)
        print(f"{name}: {'FAILED' if problem else 'ok'} ({time.monotonic() - begin:.1f} s)", flush=True)
        wrong += [f"{name}: {problem}"] if problem else []
    print("\n".join(wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
