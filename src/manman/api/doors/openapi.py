"""`/openapi.json`, and `/docs`: the same as a page that asks no other site, reads without a script and can be searched with one."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from html import escape
from importlib.resources import files
from typing import Any

import msgspec

from manman.api.openapi import described
from manman.api.refusals import CODES

_HERE = files(__package__ or "")
_STYLE = _HERE.joinpath("docs.css").read_text(encoding="utf-8")
_SCRIPT = _HERE.joinpath("docs.js").read_text(encoding="utf-8")
_NAME = re.compile(r"(?<=[a-z])(?=[A-Z])")
Operation = dict[str, Any]


def _hash(text: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


POLICY = (
    f"default-src 'none'; style-src {_hash(_STYLE)}; script-src {_hash(_SCRIPT)}; base-uri 'none'; form-action 'none'"
)


@cache
def document() -> bytes:
    """The OpenAPI document as JSON."""
    return msgspec.json.encode(described())


@cache
def page() -> bytes:
    """Every method by noun: route, what it says, what it needs, its parameters, an example of request and reply; and every code."""
    nouns = {tag["name"]: (tag["description"], list[str]()) for tag in described()["tags"]}
    for path, verbs in described()["paths"].items():
        for verb, operation in verbs.items():
            nouns[operation["tags"][0]][1].append(_method(verb, path, operation))
    links = "".join(
        f'<li><a href="#{noun}">{_called(noun)}<small>{len(methods)}</small></a></li>'
        for noun, (_, methods) in nouns.items()
    )
    sections = "".join(_section(noun, said, methods) for noun, (said, methods) in nouns.items())
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>ManMan API</title><style>{_STYLE}</style></head><body>
<a class="skip" href="#main">To the methods</a>
<div class="frame"><nav class="side" aria-label="Nouns"><p>ManMan API</p><ul>{links}<li><a href="#codes">Codes</a></li></ul></nav>
<main id="main"><h1>API</h1>
<p class="soft">REST under <code>/v1</code>, and gRPC as <code>manman.v1</code>. <code>Authorization: Bearer …</code> is the credential.
For programs: <a href="/openapi.json">openapi.json</a></p>
<div class="search" role="search" hidden><input type="search" aria-label="Search methods" placeholder="Search methods, fields, permissions"
autocomplete="off" spellcheck="false"><span class="soft" role="status"></span></div>
{sections}{_codes()}</main></div>
<script>{_SCRIPT}</script></body></html>""".encode()


def _called(noun: str) -> str:
    return _NAME.sub(" ", noun).capitalize()


def _text(said: str) -> str:
    """Prose whose backticks are code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(said))


def _section(noun: str, said: str, methods: list[str]) -> str:
    return (
        f'<section id="{noun}" data-noun aria-labelledby="{noun}-title"><h2 id="{noun}-title">{_called(noun)}</h2>'
        f'<p class="soft">{_text(said)}</p><div class="card">{"".join(methods)}</div></section>'
    )


def _method(verb: str, path: str, operation: Operation) -> str:
    name = operation["operationId"]
    return (
        f'<details id="{name}"><summary><span class="verb {verb}">{verb.upper()}</span><span class="route">'
        f'<span class="name">{name}</span><code>{escape(path)}</code></span>'
        f'<span class="said">{_text(operation["summary"])}</span></summary><div class="more">'
        f"<p>{_text(operation['description'])}</p>{_parameters(operation)}{_request(operation)}{_replies(operation)}</div></details>"
    )


def _parameters(operation: Operation) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(one['name'])}</code></td><td>{one['in']}</td><td>{_text(one['description'])}</td></tr>"
        for one in operation["parameters"]
    )
    head = "<tr><th>name</th><th>in</th><th>what it is</th></tr>"
    return f'<h3>Parameters</h3><div class="scroll" tabindex="0"><table>{head}{rows}</table></div>' if rows else ""


def _request(operation: Operation) -> str:
    if "requestBody" not in operation:
        return ""
    return f"<h3>Request</h3>{_example(operation['requestBody']['content']['application/json']['example'])}"


def _replies(operation: Operation) -> str:
    done, refused = list[str](), list[str]()
    for status, reply in operation["responses"].items():
        if int(status) < 400:
            media, content = next(iter(reply["content"].items()))
            kind = ", a stream of events" if media == "text/event-stream" else ""
            done.append(
                f"<h3>{status}: {escape(reply['description'].rstrip('.'))}{kind}</h3>{_example(content['example'])}"
            )
        else:
            codes = ", ".join(f"<code>{escape(code)}</code>" for code in reply["description"].split(", "))
            refused.append(f"<tr><td>{status}</td><td>{codes}</td></tr>")
    return f'{"".join(done)}<h3>Refusals</h3><div class="scroll" tabindex="0"><table>{"".join(refused)}</table></div>'


def _example(value: Any) -> str:
    return f'<pre tabindex="0">{escape(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())}</pre>'


def _codes() -> str:
    rows = "".join(
        f"<tr><td><code>{code}</code></td><td>{row.http}</td><td>{row.grpc}</td><td>{escape(row.title)}</td></tr>"
        for code, row in sorted(CODES.items())
    )
    head = "<tr><th>code</th><th>HTTP</th><th>gRPC</th><th>what it means</th></tr>"
    return (
        '<section id="codes" aria-labelledby="codes-title"><h2 id="codes-title">Codes</h2>'
        '<p class="soft">Every error is an RFC 9457 problem with one of these as its <code>code</code>.</p>'
        f'<div class="card codes scroll" tabindex="0"><table>{head}{rows}</table></div></section>'
    )
