#!/usr/bin/env python3
"""Answer an SCGI client with the replies of replies.json, and check its requests.

    serve.py ADDRESS             host:port or unix:/path, until Ctrl-C
    serve.py [-v] ADDRESS URL    judge the web server at URL, which must pass
                                 every request on to ADDRESS

/NAME is answered with the reply of that name, /NAME?slow byte by byte, and /echo
with the request's body. A request that breaks a rule is answered with status 400
and the rule. With a URL the exit status is 1 if the web server fails a reply.
"""
import http.client, json, os, socket, stat, sys, threading, urllib.parse

PATIENCE = 10  # seconds until a peer that sends nothing counts as hung


class Broken(Exception):
    """A request breaks a rule."""


def check(ok, rule):
    if not ok:
        raise Broken(rule)


def read_request(conn):
    """Return the variables and the body of a request that keeps every rule."""
    received = b""

    def take(n):
        nonlocal received
        while len(received) < n:
            data = conn.recv(65536)
            check(data, "the request is cut")
            received += data
        taken, received = received[:n], received[n:]
        return taken

    digits = b""
    while (byte := take(1)) != b":":
        digits += byte
        check(digits.isdigit() and len(digits) < 9, "SCGI section 4: a netstring begins with its length in digits and a colon")
    check(digits.isdigit() and digits[:1] != b"0", "SCGI section 4: the length has no leading zero, and is not 0")
    block = take(int(digits))
    check(take(1) == b",", "SCGI section 4: a netstring ends with a comma")
    check(block[-1:] == b"\0", "SCGI section 3: a NUL ends every name and value")
    strings = block[:-1].split(b"\0")
    names, values = strings[::2], strings[1::2]
    check(len(names) == len(values), "SCGI section 3: each name has a value")
    check(b"" not in names, "SCGI section 3: no name is empty")
    for name in names:
        check(names.count(name) == 1, "SCGI section 3: %s is there twice" % name.decode("latin-1"))
    check(names[0] == b"CONTENT_LENGTH", "SCGI section 3: CONTENT_LENGTH is the first variable")
    check(values[0].isdigit(), "SCGI section 3: CONTENT_LENGTH is a decimal number, 0 without a body")
    env = dict(zip(names, values))
    check(env.get(b"SCGI") == b"1", "SCGI section 3: the variable SCGI is 1")
    check(env.get(b"REQUEST_METHOD"), "RFC 3875 section 4.1.12: the variable REQUEST_METHOD is there")
    body = take(int(values[0]))
    check(received == b"", "SCGI section 3: nothing follows the body")
    return env, body


def reply_to(env, body, replies):
    """Return the pieces to send."""
    uri = env.get(b"REQUEST_URI") or env.get(b"SCRIPT_NAME", b"") + env.get(b"PATH_INFO", b"")
    path, _, query = uri.decode("latin-1").partition("?")
    name = path.rpartition("/")[2]
    if name == "echo":
        return [b"Content-Length: %d\r\n\r\n" % len(body) + body]
    if name not in replies:
        return [b"Status: 404 Not Found\r\n\r\n%s is no name in replies.json\n" % name.encode("latin-1")]
    data = replies[name]["input"].encode("latin-1")
    return [data[i:i + 1] for i in range(len(data))] if query == "slow" else [data]


def converse(conn, replies):
    """Serve one connection."""
    with conn:
        conn.settimeout(PATIENCE)
        if conn.family != socket.AF_UNIX:
            conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            pieces = reply_to(*read_request(conn), replies)
        except (Broken, TimeoutError) as e:
            print("FAIL a request:", e, flush=True)
            pieces = [b"Status: 400 Bad Request\r\n\r\n%s\n" % str(e).encode("latin-1")]
        try:
            for piece in pieces:
                conn.sendall(piece)
            conn.shutdown(socket.SHUT_WR)
            while conn.recv(65536):  # a close with bytes unread would reset the connection
                pass
        except OSError:
            pass  # the client has read all that it wants


def listen(address):
    if address.startswith("unix:"):
        path = address[5:]
        if os.path.exists(path) and stat.S_ISSOCK(os.stat(path).st_mode):
            os.unlink(path)  # of an earlier run
        server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        server.bind(path)
        os.chmod(path, 0o666)  # the web server runs as another user
    else:
        host, _, port = address.rpartition(":")
        server = socket.create_server((host.strip("[]"), int(port)))
    server.listen(100)
    return server


def accept(server, replies):
    while True:
        threading.Thread(target=converse, args=(server.accept()[0], replies), daemon=True).start()


def ask(url, method, path):
    """Return the status, the fields and the body; None if the web server refuses the reply or breaks off its own."""
    connection = http.client.HTTPConnection(url.hostname, url.port or 80, timeout=PATIENCE)
    try:
        connection.request(method, url.path.rstrip("/") + "/" + path)
        reply = connection.getresponse()
        body = b""
        while data := reply.read(65536):
            body += data
    except (http.client.HTTPException, ConnectionResetError):
        return None
    finally:
        connection.close()
    if reply.status in (500, 502, 503) or reply.length:  # or part of it did not come
        return None
    return reply.status, reply.headers, body


def judge(vector, answer):
    """Return what is wrong with what the web server made of a reply, or "" if nothing is."""
    if answer is None:
        return "" if "refuse" in vector else "refused"
    status, fields, body = answer
    if "refuse" in vector:
        return "passed on with status %d" % status
    if status != vector["status"]:
        return "status %d" % status
    for name, values in vector.get("fields", {}).items():
        if name != "Content-Length" and ", ".join(fields.get_all(name, ())) != ", ".join(values):
            return "%s: %r" % (name, fields.get_all(name))
    want = vector.get("body", "").encode("latin-1")
    return "" if body == want else "body %r, not %r" % (body[:60], want)


def main(args):
    verbose = "-v" in args
    args = [a for a in args if a != "-v"]
    if len(args) not in (1, 2) or args[0].startswith("-"):
        sys.exit(__doc__)
    here = os.path.dirname(os.path.abspath(__file__))
    with open(os.path.join(here, "replies.json"), encoding="ascii") as f:
        replies = {vector["name"]: vector for vector in json.load(f)}
    server = listen(args[0])
    if len(args) == 1:
        try:
            accept(server, replies)
        except KeyboardInterrupt:
            return 0
    threading.Thread(target=accept, args=(server, replies), daemon=True).start()
    url, count = urllib.parse.urlsplit(args[1]), {"ok": 0, "open": 0, "FAIL": 0}
    for name, vector in replies.items():
        for how, path in (("whole", name), ("byte by byte", name + "?slow")):
            try:
                fault = judge(vector, ask(url, vector.get("method", "GET"), path))
            except TimeoutError:
                fault = "no whole answer in %d s" % PATIENCE
            verdict = "ok" if not fault else "open" if vector.get("optional") else "FAIL"
            count[verdict] += 1
            if fault or verbose:
                print("%-4s %s, %s: %s  [%s]" % (verdict, name, how, fault or vector.get("status", "refused"), vector["rule"]))
    print("%(ok)d passed, %(open)d differ where the rules are open, %(FAIL)d failed" % count)
    return count["FAIL"] > 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
