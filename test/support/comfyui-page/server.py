#!/usr/bin/env python3
"""ComfyUI's web server without ComfyUI: real aiohttp, custom nodes loaded and their routes and scripts served by the same
rules as release 0.38, and just enough answers for the real front end (the package comfyui-frontend-package) to open.

server.py --port PORT --nodes DIRECTORY [--front-end DIRECTORY]
"""
import argparse
import glob
import importlib.util
import json
import os
import sys
import types
import uuid

from aiohttp import WSMsgType, web

VERSION = "0.38.1"


class PromptServer:
    instance = None

    def __init__(self):
        PromptServer.instance = self
        self.routes = web.RouteTableDef()
        self.app = web.Application()


def load_nodes(directory):
    """The scripts' directories by node, as far as a node can be loaded: as ComfyUI, one that fails stops nobody."""
    scripts = {}
    for path in sorted(glob.glob(os.path.join(directory, "*/__init__.py"))):
        folder = os.path.dirname(path)
        try:
            spec = importlib.util.spec_from_file_location(folder.replace(".", "_x_"), path)
            module = importlib.util.module_from_spec(spec)
            sys.modules[spec.name] = module
            spec.loader.exec_module(module)
            if getattr(module, "NODE_CLASS_MAPPINGS", None) is None:
                print(f"Skip {folder}: no NODE_CLASS_MAPPINGS", flush=True)
            elif getattr(module, "WEB_DIRECTORY", None) is not None:
                scripts[os.path.basename(folder)] = os.path.abspath(os.path.join(folder, module.WEB_DIRECTORY))
        except Exception as error:
            print(f"Cannot import {folder}: {error}", flush=True)
    return scripts


def answer_front_end(routes, scripts, settings):
    """What the front end asks for while it starts. Its settings are kept in memory; there are no nodes and no workflows."""
    fixed = {
        "/users": {"storage": "server", "migrated": True},
        "/system_stats": {
            "system": {"os": "posix", "comfyui_version": VERSION, "python_version": "3", "argv": [], "ram_total": 1,
                       "ram_free": 1, "embedded_python": False, "pytorch_version": "2"},
            "devices": [],
        },
        "/queue": {"queue_running": [], "queue_pending": []},
        "/prompt": {"exec_info": {"queue_remaining": 0}},
        "/jobs": {"jobs": [], "pagination": {"offset": 0, "limit": 200, "total": 0, "has_more": False}},
        "/assets": {"assets": [], "total": 0, "has_more": False},
        "/global_subgraphs": {},
        "/object_info": {},
        "/features": {},
        "/history": {},
        "/i18n": {},
        "/workflow_templates": {},
        "/embeddings": [],
        "/experiment/models": [],
        "/models": [],
        "/userdata": [],
        "/v2/userdata": [],
        "/node_replacements": {},
        "/extensions": [
            f"/extensions/{name}/{os.path.relpath(path, directory)}"
            for name, directory in scripts.items()
            for path in glob.glob(os.path.join(directory, "**/*.js"), recursive=True)
        ],
    }
    for path, value in fixed.items():
        routes.get(path)(lambda _, value=value: reply_json(value))

    @routes.get("/settings")
    async def get_settings(_):
        return web.json_response(settings)

    @routes.post("/settings")
    async def set_settings(request):
        settings.update(await request.json())
        return web.Response()

    @routes.post("/settings/{id}")
    async def set_setting(request):
        settings[request.match_info["id"]] = await request.json()
        return web.Response()

    @routes.post("/userdata/{file}")
    async def keep_nothing(request):
        return web.json_response({"path": request.match_info["file"], "size": 0, "modified": 0})

    @routes.get("/ws")
    async def talk(request):
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        status = {"exec_info": {"queue_remaining": 0}}
        await socket.send_json({"type": "status", "data": {"status": status, "sid": uuid.uuid4().hex}})
        async for message in socket:
            if message.type == WSMsgType.TEXT and json.loads(message.data).get("type") == "feature_flags":
                await socket.send_json({"type": "feature_flags", "data": {}})
        return socket


async def reply_json(value):
    return web.json_response(value)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--nodes", required=True)
    parser.add_argument("--front-end")
    args = parser.parse_args()
    server = PromptServer()
    # Nodes know it by this name.
    sys.modules["server"] = types.SimpleNamespace(PromptServer=PromptServer)
    scripts = load_nodes(args.nodes)
    answer_front_end(server.routes, scripts, {"Comfy.TutorialCompleted": True, "Comfy.InstalledVersion": "9.9.9"})
    # As in ComfyUI, every route is there a second time below /api.
    server.app.add_routes([web.route(r.method, "/api" + r.path, r.handler, **r.kwargs) for r in server.routes])
    server.app.add_routes(server.routes)
    server.app.add_routes([web.static(f"/extensions/{name}", path) for name, path in scripts.items()])
    if args.front_end:
        index = os.path.join(args.front_end, "index.html")
        server.app.router.add_get("/", lambda _: reply_file(index))
        server.app.add_routes([web.static("/", args.front_end)])
    web.run_app(server.app, host="127.0.0.1", port=args.port, access_log=None, print=lambda *_: None)


async def reply_file(path):
    return web.FileResponse(path)


if __name__ == "__main__":
    main()
