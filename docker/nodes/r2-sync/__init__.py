"""r2-sync's status page at /r2-sync/ on ComfyUI's port, and what the badge in ComfyUI's page (web/badge.js) asks for.

Everything comes from the agent beside ComfyUI, by GET or HEAD, from one host and a fixed list of paths; no key is needed or
known here. Who can open ComfyUI can see the page: as much as ComfyUI itself shows of the outputs. Where the agent asks
for a token (R2_STATUS_HOST beyond this machine), the page asks for it here as well.

Whatever goes wrong here, ComfyUI goes on: no node is defined, nothing is patched, nothing waits in its event loop.
"""

import asyncio
import base64
import hashlib
import logging
import os
import re

NODE_CLASS_MAPPINGS = {}
NODE_DISPLAY_NAME_MAPPINGS = {}
WEB_DIRECTORY = "./web"

# The agent's paths that are passed through: its page and what that loads. Nothing that does something is among them.
PATHS = frozenset(("", "page.js", "page.css", "page.json", "events", "media", "api/status", "healthz"))
PASSED_ON = ("Accept", "Range", "If-Range", "If-None-Match", "If-Modified-Since", "Last-Event-ID")
PASSED_BACK = (
    "Accept-Ranges",
    "Cache-Control",
    "Content-Disposition",
    "Content-Length",
    "Content-Range",
    "Content-Security-Policy",
    "Content-Type",
    "Cross-Origin-Opener-Policy",
    "Cross-Origin-Resource-Policy",
    "ETag",
    "Last-Modified",
    "Origin-Agent-Cluster",
    "Referrer-Policy",
    "Retry-After",
    "Vary",
    "WWW-Authenticate",
    "X-Accel-Buffering",
    "X-Content-Type-Options",
    "X-Frame-Options",
    "X-R2-Sync",
)
# What the agent says at every answer: another program on its port is none of our business.
AGENT_HEADER = "X-R2-Sync"
COOKIE = "r2-sync"

# Seconds. The agent's event stream has a beat every 15.
CONNECT_SECONDS = 3
SILENCE_SECONDS = 45
ANSWER_SECONDS = 5
# A reader that takes nothing for so long makes room for others; a player that was paused asks for the rest.
IDLE_SECONDS = 30
# How soon it is noticed that whoever reads an event stream has gone.
LOOK_SECONDS = 2
# Connections at a time: a public ComfyUI must not be able to take all of the agent's. What stays open for long has its
# own, so that the answers that tell people how it stands never wait for those.
STREAMS = {"events": 32, "media": 24}
MOST_ANSWERS = 16

OFF = {"mood": "off", "label": "", "text": ""}
LOCKED = {
    "mood": "locked",
    "label": "r2-sync",
    "text": "r2-sync's status page needs its token: open it and enter the token.",
}
GONE = {
    "mood": "bad",
    "label": "Uploads stopped",
    "text": "r2-sync isn't running, so nothing is uploaded: don't stop the pod yet. It is started again by itself, "
    "within a minute; if this stays, the log of the pod says why.",
}
SILENT = {
    "mood": "bad",
    "label": "No answer",
    "text": "r2-sync doesn't answer, so nobody knows what is uploaded: don't stop the pod yet. A machine that has too much "
    "to do and a volume that hangs are usual causes; if this stays, the log of the pod says more.",
}

STYLE = "body{font:1rem/1.5 system-ui,sans-serif;max-width:40rem;margin:2rem auto;padding:0 1rem}"


class AgentGone(Exception):
    """Nobody answers, or somebody who isn't r2-sync."""


class Agent:
    """The agent that runs beside ComfyUI, found as its own commands find it."""

    def __init__(self, env):
        self.enabled = setting(env, "ENABLE_R2_SYNC", "false").lower() in ("true", "1", "yes", "on")
        self.seen = False
        self.sessions = {}
        self.streams = dict.fromkeys(STREAMS, 0)
        port = setting(env, "R2_STATUS_PORT", "8190")
        self.port = int(port) if re.fullmatch(r"[0-9]{1,5}", port) and int(port) < 65536 else 8190
        host = setting(env, "R2_STATUS_HOST", "127.0.0.1").strip("[]")
        # Where it listens on every address, this machine's own is one of them.
        if host in ("0.0.0.0", "::"):
            host = "127.0.0.1"
        self.url = "http://%s:%d/" % ("[%s]" % host if ":" in host else host, self.port)

    def ask(self, request, path, method="GET", **timeouts):
        """The agent's answer to the same question, to be entered with `async with`."""
        url = URL(self.url + path + query_of(request), encoded=True)
        kind = path if path in STREAMS else None
        if kind not in self.sessions:
            self.sessions[kind] = aiohttp.ClientSession(
                # The agent closes idle connections when a poll would use them again.
                connector=aiohttp.TCPConnector(limit=STREAMS.get(kind, MOST_ANSWERS), force_close=True),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                skip_auto_headers=("User-Agent",),
            )
        return self.sessions[kind].request(
            method,
            url,
            headers=headers_for_agent(request),
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(connect=CONNECT_SECONDS, **timeouts),
        )

    def check(self, reply):
        if AGENT_HEADER not in reply.headers:
            raise AgentGone()
        self.seen = True

    def absence(self, error):
        """Why there is no page, for people."""
        if self.port == 0:
            return "r2-sync's status page is turned off: R2_STATUS_PORT is 0."
        if isinstance(error, asyncio.TimeoutError):
            return SILENT["text"]
        if self.enabled or self.seen:
            return GONE["text"]
        return "r2-sync is off: ENABLE_R2_SYNC isn't true. Outputs stay on this machine."


def setting(env, name, default):
    """As r2-sync reads it: blanks and quotes around a value don't count, empty means unset."""
    return env.get(name, "").strip().strip("\"'").strip() or default


def query_of(request):
    """With its question mark, as it was sent: names of files are bytes, which nobody may read as text."""
    query = request.raw_path.partition("?")[2]
    return "?" + query if query else ""


def headers_for_agent(request):
    headers = {name: request.headers[name] for name in PASSED_ON if name in request.headers}
    headers["Accept-Encoding"] = "identity"
    # For the agent's cookie, which is only sent over https if it came by https.
    if request.secure or request.headers.get("X-Forwarded-Proto", "").lower() == "https":
        headers["X-Forwarded-Proto"] = "https"
    cookie = request.cookies.get(COOKIE, "")
    if re.fullmatch(r"[\w-]{1,128}", cookie, re.ASCII):
        headers["Cookie"] = "%s=%s" % (COOKIE, cookie)
    return headers


async def pass_through(agent, request, path):
    if path not in STREAMS:
        return await pass_reply(agent, request, path, total=ANSWER_SECONDS)
    if agent.streams[path] >= STREAMS[path]:
        headers = {"Cache-Control": "no-store", "Retry-After": "2"}
        return web.Response(status=429, text="Too many at a time; try again.\n", headers=headers)
    agent.streams[path] += 1
    try:
        return await pass_reply(agent, request, path, sock_read=SILENCE_SECONDS)
    finally:
        agent.streams[path] -= 1


async def pass_reply(agent, request, path, **timeouts):
    response = None
    try:
        async with agent.ask(request, path, request.method, **timeouts) as reply:
            agent.check(reply)
            response = web.StreamResponse(status=reply.status)
            for name in PASSED_BACK:
                if name in reply.headers:
                    response.headers[name] = reply.headers[name]
            for cookie in reply.headers.getall("Set-Cookie", []):
                if cookie.startswith(COOKIE + "="):
                    response.headers.add("Set-Cookie", cookie)
            if path in STREAMS:
                await response.prepare(request)
                await pass_body(request, reply, response)
                return response
            # Taken whole first: a reader that takes its time must not keep a connection from others.
            body = await reply.read()
        await response.prepare(request)
        if body:
            await response.write(body)
        return response
    except (AgentGone, aiohttp.ClientError, asyncio.TimeoutError, ValueError) as error:
        if response is not None and response.prepared:
            raise
        return unavailable(agent, path, error)


async def pass_body(request, reply, response):
    """Every piece at once: an event that waits for the next one is no event."""
    while True:
        try:
            piece = await asyncio.wait_for(reply.content.readany(), LOOK_SECONDS)
        except aiohttp.ClientError:
            # Cut off here as well: what is only half there must not look whole.
            return cut_off(request)
        except asyncio.TimeoutError:
            if request.transport is None or request.transport.is_closing():
                return
            continue
        if not piece:
            return
        try:
            await asyncio.wait_for(response.write(piece), IDLE_SECONDS)
        except asyncio.TimeoutError:
            return cut_off(request)


def cut_off(request):
    if request.transport is not None:
        request.transport.abort()


async def answer_badge(agent, request):
    """Never an error: those would fill the browser's console, at every poll."""
    try:
        async with agent.ask(request, "badge.json", total=ANSWER_SECONDS) as reply:
            agent.check(reply)
            if reply.status == 401:
                badge = LOCKED
            else:
                badge = await reply.json() if reply.status == 200 else OFF
    except (AgentGone, aiohttp.ClientError, asyncio.TimeoutError, ValueError) as error:
        badge = OFF
        if agent.port != 0 and (agent.enabled or agent.seen):
            badge = SILENT if isinstance(error, asyncio.TimeoutError) else GONE
    return web.json_response(badge, headers={"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"})


def unavailable(agent, path, error):
    text = agent.absence(error)
    headers = {
        "Cache-Control": "no-store",
        "Content-Security-Policy": "default-src 'none'; img-src data:; style-src '%s'; frame-ancestors 'self'; "
        "base-uri 'none'; form-action 'none'" % style_hash(),
        "Referrer-Policy": "no-referrer",
        "Retry-After": "5",
        "X-Content-Type-Options": "nosniff",
    }
    if path != "":
        return web.Response(status=503, text=text + "\n", headers=headers)
    page = (
        '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<meta http-equiv="refresh" content="5">\n'
        '<title>No answer · r2-sync</title>\n<link rel="icon" href="data:,">\n<style>%s</style>\n'
        "<h1>There is no status page</h1>\n<p>%s</p>\n<p>This page looks again every 5 seconds.</p>\n"
    ) % (STYLE, text)
    return web.Response(status=503, text=page, content_type="text/html", charset="utf-8", headers=headers)


def style_hash():
    return "sha256-" + base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()


def add_routes(routes, agent):
    async def redirect(request):
        # Relative: ComfyUI may be behind a proxy's path, and has every route below /api as well.
        return web.Response(status=302, headers={"Location": "r2-sync/" + query_of(request)})

    async def answer(request):
        # Compared as a whole, so that no spelling of ".." leads anywhere.
        path = request.match_info["path"]
        if path == "badge.json":
            return await answer_badge(agent, request)
        if path not in PATHS:
            return web.Response(status=404, text="There is no such page. The status page is at /r2-sync/.\n")
        return await pass_through(agent, request, path)

    # HEAD as well: by it the page learns why a picture can't be shown.
    routes.get("/r2-sync")(redirect)
    routes.get("/r2-sync/{path:.*}")(answer)


try:
    import aiohttp
    from aiohttp import web
    from server import PromptServer
    from yarl import URL

    add_routes(PromptServer.instance.routes, Agent(os.environ))
except Exception as error:
    WEB_DIRECTORY = None
    logging.warning("r2-sync: no badge and no status page on this port (%s: %s)", type(error).__name__, error)
