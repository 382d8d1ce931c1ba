#!/usr/bin/env python3
"""A stand-in for ComfyUI, for tests of what is around it: the flags, the HTTP interface and the ways of writing of
release 0.38, without torch and without nodes. Python's standard library is all it needs.

It runs graphs of EmptyImage and SaveImage. As the real one does, it writes straight to the final name, has no handler
for SIGTERM (so it dies in mid-write), wipes its temp directory at start, doesn't run an unchanged prompt a second time
unless it was given --cache-none, and doesn't start while another process holds its database.

COMFYUI_STANDIN_WRITE_MS: how long the writing of one picture takes (0).
"""
import argparse
import fcntl
import glob
import importlib.util
import json
import os
import re
import shutil
import struct
import sys
import threading
import time
import uuid
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Queue
from urllib.parse import parse_qs, urlparse
from urllib.request import urlopen

VERSION = "0.38.1"

# Flags of the real one by how many values they take, so that --help lists them and a wrong one is refused.
SWITCHES = """--date-based-output --auto-launch --disable-auto-launch --cuda-malloc --disable-cuda-malloc --force-fp32
--force-fp16 --fp32-unet --fp64-unet --bf16-unet --fp16-unet --fp8_e4m3fn-unet --fp8_e5m2-unet --fp16-vae --fp32-vae
--bf16-vae --cpu-vae --fp8_e4m3fn-text-enc --fp8_e5m2-text-enc --fp16-text-enc --fp32-text-enc --bf16-text-enc
--force-channels-last --supports-fp8-compute --cache-classic --cache-none --high-ram --use-split-cross-attention
--use-quad-cross-attention --use-pytorch-cross-attention --use-sage-attention --use-flash-attention --disable-xformers
--force-upcast-attention --dont-upcast-attention --enable-manager --disable-manager-ui --enable-manager-legacy-ui
--gpu-only --highvram --lowvram --novram --cpu --disable-async-offload --disable-dynamic-vram --enable-dynamic-vram
--force-non-blocking --disable-smart-memory --deterministic --disable-pinned-memory --mmap-torch-files --disable-mmap
--dont-print-server --quick-test-for-ci --windows-standalone-build --disable-metadata --disable-all-custom-nodes
--disable-partner-nodes --offline --disable-api-nodes --multi-user --log-stdout --enable-compress-response-body
--disable-assets --enable-assets --enable-asset-hashing""".split()
VALUES = """--tls-keyfile --tls-certfile --max-upload-size --base-directory --output-directory --temp-directory
--input-directory --cuda-device --default-device --oneapi-device-selector --preview-method --preview-size --cache-lru
--reserve-vram --vram-headroom --default-hashing-function --front-end-version --front-end-root --comfy-api-base
--database-url --disabled-nodes-config""".split()
LISTS = "--cache-ram --fast --verbose".split()


def existing_directory(path):
    if not os.path.isdir(path):
        raise argparse.ArgumentTypeError(f"The path '{path}' does not exist.")
    return path


def parse_arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--listen", default="127.0.0.1", metavar="IP", nargs="?", const="0.0.0.0,::")
    parser.add_argument("--port", type=int, default=8188, help="Set the listen port.")
    parser.add_argument("--enable-cors-header", default=None, metavar="ORIGIN", nargs="?", const="*")
    parser.add_argument("--async-offload", nargs="?", const=2, type=int, default=None, metavar="NUM_STREAMS")
    parser.add_argument("--extra-model-paths-config", default=[], metavar="PATH", nargs="+", action="append")
    parser.add_argument("--whitelist-custom-nodes", nargs="+", default=[])
    parser.add_argument("--user-directory", type=existing_directory, default=None)
    parser.add_argument("--models-directory", type=existing_directory, default=None)
    parser.add_argument("--feature-flag", action="append", default=[], metavar="KEY[=VALUE]")
    for flag in SWITCHES:
        parser.add_argument(flag, action="store_true")
    for flag in VALUES:
        parser.add_argument(flag, default=None)
    for flag in LISTS:
        parser.add_argument(flag, nargs="*", default=None)
    return parser.parse_args()


class Directories:
    """Where things are, by the same rules as the real one's."""

    def __init__(self, args):
        here = os.path.dirname(os.path.abspath(__file__))
        base = os.path.abspath(args.base_directory) if args.base_directory else here
        self.output = os.path.abspath(args.output_directory or os.path.join(base, "output"))
        self.input = os.path.abspath(args.input_directory or os.path.join(base, "input"))
        self.user = os.path.abspath(args.user_directory or os.path.join(base, "user"))
        self.temp = os.path.join(os.path.abspath(args.temp_directory or base), "temp")
        self.models = [os.path.abspath(args.models_directory or os.path.join(base, "models"))]
        self.custom_nodes = [os.path.join(base, "custom_nodes")]
        if not args.base_directory:
            os.makedirs(self.custom_nodes[0], exist_ok=True)
        for paths in args.extra_model_paths_config:
            for path in paths:
                self.read_extra_paths(path)

    def read_extra_paths(self, path):
        """The plain form of extra_model_paths.yaml: sections of `name: path`, a base_path, no lists."""
        base = None
        with open(path, encoding="utf-8") as lines:
            for line in lines:
                match = re.match(r"\s+([\w-]+):\s*(.*?)\s*$", line)
                if not match:
                    base = None if re.match(r"\S+:", line) else base
                    continue
                name, value = match[1], match[2].strip("'\"")
                if name == "base_path":
                    base = value
                elif name == "custom_nodes":
                    self.custom_nodes.append(os.path.join(base or "", value))
                elif name == "checkpoints":
                    self.models.append(os.path.dirname(os.path.join(base or "", value).rstrip("/")))

    def prepare(self):
        for directory in (self.output, self.input, self.user):
            os.makedirs(directory, exist_ok=True)
        shutil.rmtree(self.temp, ignore_errors=True)
        os.makedirs(self.temp)


def log(text):
    print(text, file=sys.stderr, flush=True)


def lock_database(args, directories):
    """Two of the real one can't share a database: the second one says so and ends."""
    if args.disable_assets:
        return None
    url = args.database_url or f"sqlite:///{directories.user}/comfyui.db"
    if url in ("sqlite://", "sqlite:///:memory:"):
        return None
    path = url.removeprefix("sqlite:///")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    open(path, "ab").close()
    holder = open(path + ".lock", "ab")
    try:
        fcntl.flock(holder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        log(f"ASSETS_STARTUP_FAILED: in_use\nAnother ComfyUI is already using this database: '{path}'.")
        sys.exit(1)
    return holder


def png(width, height, color, text):
    """A valid PNG, its pixels stored rather than squeezed, so that it is as large as a real picture."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    row = b"\0" + bytes(((color >> 16) & 255, (color >> 8) & 255, color & 255)) * width
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
        + chunk(b"tEXt", b"prompt\0" + text.encode("ascii"))
        + chunk(b"IDAT", zlib.compress(row * height, 0))
        + chunk(b"IEND", b"")
    )


def write_slowly(path, data):
    """Straight to the final name, a piece at a time."""
    pause = float(os.environ.get("COMFYUI_STANDIN_WRITE_MS") or 0) / 1000
    pieces = 20 if pause > 0 else 1
    size = -(-len(data) // pieces)
    with open(path, "wb") as file:
        for at in range(0, len(data), size):
            file.write(data[at : at + size])
            file.flush()
            if pause > 0:
                time.sleep(pause / pieces)


class Executor:
    """The queue, and the one thread that works through it."""

    def __init__(self, args, directories):
        self.args, self.directories = args, directories
        self.waiting, self.pending, self.running, self.history, self.last = Queue(), [], [], {}, None
        self.number = 0
        threading.Thread(target=self.work, daemon=True).start()

    def add(self, graph):
        prompt_id = str(uuid.uuid4())
        self.number += 1
        item = [self.number, prompt_id, graph, {}, [key for key, node in graph.items() if is_output(node)]]
        self.pending.append(item)
        self.waiting.put(item)
        return prompt_id, self.number

    def work(self):
        while True:
            item = self.waiting.get()
            self.pending.remove(item)
            self.running.append(item)
            try:
                outputs, status = self.execute(item[2]), "success"
            except Exception as error:  # The real one goes on as well, and shows it in the history.
                log(f"!!! Exception during processing !!! {error}")
                outputs, status = {}, "error"
            self.running.remove(item)
            self.history[item[1]] = {
                "prompt": item,
                "outputs": outputs,
                "status": {"status_str": status, "completed": status == "success", "messages": []},
            }

    def execute(self, graph):
        if graph == self.last and not self.args.cache_none:
            return {}
        self.last = graph
        return {key: {"images": self.save(graph, node)} for key, node in graph.items() if is_output(node)}

    def save(self, graph, node):
        inputs = graph[str(node["inputs"]["images"][0])]["inputs"]
        size = {name: int(inputs.get(name, default)) for name, default in DEFAULTS.items()}
        folder, prefix = os.path.split(node["inputs"].get("filename_prefix", "ComfyUI"))
        directory = os.path.abspath(os.path.join(self.directories.output, folder))
        if os.path.commonpath((self.directories.output, directory)) != self.directories.output:
            raise ValueError("Saving image outside the output folder is not allowed.")
        os.makedirs(directory, exist_ok=True)
        saved = []
        for _ in range(size["batch_size"]):
            name = f"{prefix}_{next_number(directory, prefix):05}_.png"
            data = png(size["width"], size["height"], size["color"], json.dumps(graph))
            write_slowly(os.path.join(directory, name), data)
            saved.append({"filename": name, "subfolder": folder, "type": "output"})
        return saved


DEFAULTS = {"width": 512, "height": 512, "batch_size": 1, "color": 0}


def next_number(directory, prefix):
    """Highest and one more, without a lock, as the real one counts."""
    pattern = re.compile(re.escape(prefix) + r"_(\d+)_?\.")
    return 1 + max((int(match[1]) for match in map(pattern.match, os.listdir(directory)) if match), default=0)


def is_output(node):
    return node.get("class_type") == "SaveImage"


def complaint(graph):
    """Why a graph isn't taken, or None."""
    if not isinstance(graph, dict) or not any(is_output(node) for node in graph.values()):
        return {"type": "prompt_no_outputs", "message": "Prompt has no outputs"}
    for node in graph.values():
        if node.get("class_type") not in NODES:
            return {"type": "invalid_prompt", "message": f"Node '{node.get('class_type')}' not found"}
        if is_output(node) and str(node["inputs"]["images"][0]) not in graph:
            return {"type": "invalid_prompt", "message": "SaveImage has no picture"}
    return None


def number_input(default):
    return ["INT", {"default": default}]


NODES = {
    "EmptyImage": {
        "input": {"required": {name: number_input(default) for name, default in DEFAULTS.items()}},
        "output": ["IMAGE"],
        "name": "EmptyImage",
        "category": "image",
        "output_node": False,
    },
    "SaveImage": {
        "input": {"required": {"images": ["IMAGE"], "filename_prefix": ["STRING", {"default": "ComfyUI"}]}},
        "output": [],
        "name": "SaveImage",
        "category": "image",
        "output_node": True,
    },
}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        url = urlparse(self.path)
        path = url.path.removeprefix("/api")
        executor = self.server.executor
        if path in ("", "/"):
            return self.reply(200, b"<!doctype html><title>ComfyUI</title>", "text/html")
        if path == "/system_stats":
            return self.reply_json(self.server.stats)
        if path == "/queue":
            return self.reply_json({"queue_running": executor.running, "queue_pending": executor.pending})
        if path == "/object_info":
            return self.reply_json(NODES)
        if path.startswith("/object_info/"):
            name = path.split("/")[2]
            return self.reply_json({name: NODES[name]} if name in NODES else {})
        if path == "/history":
            return self.reply_json(executor.history)
        if path.startswith("/history/"):
            prompt_id = path.split("/")[2]
            return self.reply_json({key: value for key, value in executor.history.items() if key == prompt_id})
        if path == "/extensions":
            return self.reply_json([f"/extensions/{script}" for script in self.server.scripts])
        if path.startswith("/r2-sync/") and "r2-sync/badge.js" in self.server.scripts:
            return self.ask_agent(path.removeprefix("/r2-sync"))
        if path == "/view":
            return self.view({name: values[0] for name, values in parse_qs(url.query).items()})
        return self.reply(404, b"404: Not Found")

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if urlparse(self.path).path.removeprefix("/api") != "/prompt":
            return self.reply(404, b"404: Not Found")
        try:
            graph = json.loads(body).get("prompt")
        except (ValueError, AttributeError):
            return self.reply(400, b"400: Bad Request")
        problem = complaint(graph)
        if problem:
            return self.reply_json({"error": {**problem, "details": "", "extra_info": {}}, "node_errors": {}}, 400)
        prompt_id, number = self.server.executor.add(graph)
        return self.reply_json({"prompt_id": prompt_id, "number": number, "node_errors": {}})

    def view(self, query):
        root = self.server.executor.directories.output
        path = os.path.realpath(os.path.join(root, query.get("subfolder", ""), query.get("filename", "")))
        if not path.startswith(os.path.realpath(root) + "/") or not os.path.isfile(path):
            return self.reply(404, b"")
        with open(path, "rb") as file:
            return self.reply(200, file.read(), "image/png")

    def ask_agent(self, path):
        """What the node r2-sync does in the real one, whose web server it takes."""
        try:
            with urlopen(f"http://127.0.0.1:{os.environ['R2_STATUS_PORT']}{path}", timeout=5) as answer:
                return self.reply(200, answer.read(), answer.headers["Content-Type"], {"X-R2-Sync": "1"})
        except OSError as error:
            return self.reply(503, str(error).encode())

    def reply_json(self, value, status=200):
        self.reply(status, json.dumps(value).encode(), "application/json")

    def reply(self, status, body, kind="text/plain", headers={}):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True


def show_custom_nodes(directories):
    found = []
    for directory in directories.custom_nodes:
        # A directory that isn't there is an error in the real one, too.
        for name in sorted(os.listdir(directory)):
            path = os.path.join(directory, name)
            if os.path.isfile(os.path.join(path, "__init__.py")) and not name.endswith(".disabled"):
                found.append(path)
    if found:
        log("\nImport times for custom nodes:")
    for path in found:
        log(f"   0.0 seconds: {path}")
    return found


def find_scripts(nodes):
    """What of nodes runs in the page, by node: of those here, all keep it in `web`."""
    found = [glob.glob(os.path.join(glob.escape(node), "web/*.js")) for node in nodes]
    return [f"{os.path.basename(node)}/{os.path.basename(path)}" for node, paths in zip(nodes, found) for path in paths]


def main():
    args = parse_arguments()
    log(f"ComfyUI version: {VERSION} (stand-in)")
    directories = Directories(args)
    if args.enable_manager and importlib.util.find_spec("comfyui_manager") is None:
        log("To use the `--enable-manager` feature, the `comfyui-manager` package must be installed first.")
    directories.prepare()
    holder = lock_database(args, directories)
    nodes = [] if args.disable_all_custom_nodes else show_custom_nodes(directories)
    if args.quick_test_for_ci:
        sys.exit(0)
    address = args.listen.split(",")[0]
    server = Server((address, args.port), Handler)
    server.executor = Executor(args, directories)
    server.scripts = find_scripts(nodes)
    server.stats = {
        "system": {"os": sys.platform, "comfyui_version": VERSION, "python_version": sys.version, "argv": sys.argv},
        "devices": [{"name": "cpu" if args.cpu else "stand-in", "type": "cpu", "index": None}],
        "directories": vars(directories),
    }
    log(f"Starting server\n\nTo see the GUI go to: http://{address}:{server.server_address[1]}")
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        log("\nStopped server")
    finally:
        if holder:
            holder.close()


if __name__ == "__main__":
    main()
