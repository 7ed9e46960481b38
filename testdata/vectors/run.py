#!/usr/bin/env python3
"""Send the vectors of requests.json to an SCGI server and judge what it does.

    run.py [-strict] [-v] ADDRESS        host:port or unix:/path

The server must run an app that answers 200 with the body it read, byte for
byte, or with anything but 200 when the body breaks off. README.md beside this
file has such an app. Each vector is sent whole and then byte by byte. The exit
status is 1 if the server fails a vector.
"""
import json, os, socket, sys

PATIENCE = 10  # seconds until a server that answers nothing counts as hung
CHOICES = ("served", "refused", "closed without a reply")  # what a server may choose where the rules are open


def connect(address):
    if address.startswith("unix:"):
        s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        s.settimeout(PATIENCE)
        s.connect(address[5:])
        return s
    host, _, port = address.rpartition(":")
    s = socket.create_connection((host.strip("[]"), int(port)), PATIENCE)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


def ask(address, pieces):
    """Return the reply's bytes, b"" for a close without one, or None if the server hangs."""
    with connect(address) as s:
        try:
            for piece in pieces:
                s.sendall(piece)
            s.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # refused before all was sent: the reply may be there all the same
        reply = b""
        try:
            while data := s.recv(65536):
                reply += data
        except TimeoutError:
            return None
        except OSError:
            pass
        return reply


def parse(reply):
    """Return the status and the body of a CGI reply (RFC 3875 section 6), or of one with an HTTP status line."""
    head, _, body = reply.replace(b"\r\n", b"\n", 20).partition(b"\n\n")
    status = 200
    for line in head.split(b"\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"status":
            status = int(value.split()[0])
        elif line.startswith(b"HTTP/"):
            status = int(line.split()[1])
    return status, reply[len(reply) - len(body):] if body else b""


def judge(vector, strict, reply):
    """Return what is wrong with a reply, or "" if nothing is."""
    expect = vector.get("strict", vector["expect"]) if strict else vector["expect"]
    if reply is None:
        return "no answer and no close"
    if reply == b"":
        return "closed without a reply" if expect == 200 and not vector.get("short") else ""
    status, body = parse(reply)
    if expect == "closed":
        return "a reply to nothing"
    if expect != 200 or vector.get("short"):
        return "served" if status == 200 else ""
    if status != 200:
        return "refused with %d" % status
    want = vector.get("body", "").encode("latin-1")
    return "" if body == want else "read %r of %r" % (body[:60], want)


def main(args):
    strict, verbose = "-strict" in args, "-v" in args
    address = [a for a in args if not a.startswith("-")]
    if len(address) != 1:
        sys.exit(__doc__)
    here = os.path.dirname(os.path.abspath(__file__))
    with open(os.path.join(here, "requests.json"), encoding="ascii") as f:
        vectors = json.load(f)
    count = {"ok": 0, "open": 0, "FAIL": 0}
    for vector in vectors:
        is_open = vector.get("optional") or "strict" in vector and not strict
        data = vector["input"].encode("latin-1")
        for how, pieces in (("whole", [data]), ("byte by byte", [data[i:i + 1] for i in range(len(data))])):
            try:
                fault = judge(vector, strict, ask(address[0], pieces))
            except ConnectionRefusedError:
                sys.exit("before %r, %s: the server does not accept connections" % (vector["name"], how))
            verdict = "ok" if not fault else "open" if is_open and fault.startswith(CHOICES) else "FAIL"
            count[verdict] += 1
            if fault or verbose:
                print("%-4s %s, %s: %s  [%s]" % (verdict, vector["name"], how, fault or vector["expect"], vector["rule"]))
    print("%(ok)d passed, %(open)d differ where the rules are open, %(FAIL)d failed" % count)
    return count["FAIL"] > 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
