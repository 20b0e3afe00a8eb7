"""One line of a file in the new side's packages: requirement lines, quoted strings, commands, keys of a table."""

from __future__ import annotations

import re
from collections.abc import Collection

from regauge.decide.audit.toolchain.packages import Replacer
from regauge.language import N_

Edit = tuple[str, str]  # the new text (empty: the line goes) and the reason

_INDEX = re.compile(
    r"\s*(?:--(?:extra-)?index-url|-i|-f|--find-links)[ =]+\S*download\.pytorch\.org\S*"
    r"|\s*(?:-f|--find-links)[ =]+\S*jax-releases\S*"
)
_INSTALL = re.compile(
    r"(?P<head>(?:pip3?|uv pip|uv|poetry|conda|mamba|micromamba|pipenv|pdm)\s+(?:install|add|create)\b)"
    r"(?P<rest>[^&|;]*)"
)
_WORD = re.compile(r"(?<![\w/.=-])[\"']?[A-Za-z][^\s\\\"']*[\"']?")
_STRING = re.compile(r"""(?P<quote>["'])(?P<text>[^"'\\\n]*)(?P=quote)""")
_LAUNCH = re.compile(
    r"\b(?:torchrun|python3? -m torch\.distributed\.(?:launch|run)|accelerate launch)(?:\s+--[\w-]+(?:[= ][^\s-]\S*)?)*"
)
_LAUNCHED_LIST = re.compile(
    r"(?P<quote>[\"'])(?:torchrun|python)(?P=quote),(?:\s*(?P=quote)--n(?:proc|nodes)[^\"']*(?P=quote),)+"
)
_IMAGE = re.compile(
    r"(?P<before>(?:FROM\s+(?:--\S+\s+)?|image:\s*[\"']?|container:\s*[\"']?))(?P<image>[\w./:-]*pytorch[\w./:@-]*)",
    re.IGNORECASE,
)
_VARIABLES = {
    "PYTORCH_CUDA_ALLOC_CONF": "XLA_PYTHON_CLIENT_MEM_FRACTION",
    "PYTORCH_ALLOC_CONF": "XLA_PYTHON_CLIENT_MEM_FRACTION",
    "TORCH_CUDA_ARCH_LIST": "",
    "TORCH_HOME": "",
    "NCCL_ASYNC_ERROR_HANDLING": "",
    "TORCH_DISTRIBUTED_DEBUG": "",
}
INDEX = N_("the package index of PyTorch's builds is not needed")
VARIABLE = N_("PyTorch alone reads this variable")
MEMORY = N_("PyTorch alone reads this variable, and the new one limits the memory that JAX takes")
LAUNCHER = N_("JAX has no launcher: the program starts once on every host and calls jax.distributed.initialize")
PYTHON_IMAGE = N_("a plain Python image: JAX's wheels bring CUDA along")


def requirement(line: str, replacer: Replacer) -> Edit | None:
    """A line of a requirement file, with its comment kept; each new package on a line of its own."""
    if _INDEX.fullmatch(line.split("#")[0].rstrip()) and "pytorch" in line:
        return "", INDEX
    body, hash_, comment = line.partition("#")
    indent = body[: len(body) - len(body.lstrip())]
    found = replacer.replace(body.strip()) if body.strip() and body.strip()[0] not in "-[" else None
    if found is None:
        return None
    new, why = found
    lines = [indent + each for each in new]
    if lines and hash_:
        lines[0] += f"  #{comment}"
    elif hash_:
        lines = [f"{indent}#{comment}"]
    return "\n".join(lines), why


def item(line: str, replacer: Replacer, extras: bool = True) -> Edit | None:
    """``- torch=2.1`` of a conda or YAML list; conda has no extras."""
    match = re.match(
        r"(?P<head>\s*-\s+)(?P<quote>[\"']?)(?:[\w-]+::)?(?P<spec>[^\"'#\s][^\"'#]*?)(?P=quote)(?P<tail>\s*(?:#.*)?)$",
        line,
    )
    if match is None:
        return None
    found = replacer.replace(match["spec"])
    if found is None:
        return None
    new, why = found
    new = new if extras else [re.sub(r"\[.*?\]", "", each) for each in new]
    lines = [f"{match['head']}{match['quote']}{each}{match['quote']}" for each in new]
    if lines:
        lines[0] += match["tail"]
    return "\n".join(lines), why


def strings(line: str, known: Collection[str], replacer: Replacer) -> Edit | None:
    """Quoted specifiers of a line, only those that the file's own structure says are requirements."""
    reasons: list[str] = []
    alone = re.fullmatch(r"(\s*)([\"'])([^\"']*)\2(,?)(\s*(?:#.*)?)", line)

    def exchange(match: re.Match[str]) -> str:
        found = replacer.replace(match["text"]) if match["text"] in known else None
        if found is None:
            return match[0]
        new, why = found
        reasons.append(why)
        quote = match["quote"]
        joint = f"{alone[4] or ','}\n{alone[1]}" if alone else ", "
        return joint.join(f"{quote}{each}{quote}" for each in new)

    text = _STRING.sub(exchange, line)
    if not reasons:
        return None
    if alone and not text.strip(" ,\t"):
        text = ""
    text = re.sub(r"\[\s*,\s*", "[", re.sub(r",\s*,", ",", text))
    return text, "; ".join(dict.fromkeys(reasons))


def key(line: str, replacer: Replacer) -> Edit | None:
    """``torch = "^2.0"`` or ``torch = {version = "..."}`` of Poetry and Pipenv."""
    match = re.match(r"\s*[\"']?(?P<name>[\w.-]+)[\"']?\s*=\s*(?P<value>[\"'{].*)$", line)
    found = replacer.replace(match["name"]) if match else None
    if found is None:
        return None
    new, why = found
    rows = []
    for each in new:
        split = re.match(r"([\w.-]+)(\[[^\]]*\])?(.*)", each)
        if split is None:
            continue
        version = split[3] or "*"
        extras = f', extras = ["{split[2][1:-1]}"]' if split[2] else ""
        rows.append(f'{split[1]} = {{version = "{version}"{extras}}}' if extras else f'{split[1]} = "{version}"')
    comment = line.partition("  #")[2]
    if rows and comment:
        rows[0] += f"  #{comment}"
    return "\n".join(rows), why


def command(line: str, replacer: Replacer) -> Edit | None:
    """Commands that install packages, launch processes or set variables; images of containers."""
    reasons: list[str] = []
    cuda = bool(re.search(r"/whl/cu\d|cuda", line))
    replacer.cuda, before = replacer.cuda or cuda, replacer.cuda
    text = _INSTALL.sub(lambda match: match["head"] + packages(match["rest"], replacer, reasons), line)
    replacer.cuda = before
    text = _variables(text, reasons)
    if replacer.target == "jax":
        launched = _LAUNCHED_LIST.sub(r"\g<quote>python\g<quote>,", _LAUNCH.sub("python", text))
        if launched != text:
            reasons.append(LAUNCHER)
            text = launched
        text, image = _IMAGE.subn(lambda match: f"{match['before']}python:3.12-slim", text)
        if image:
            reasons.append(PYTHON_IMAGE)
            if re.match(r"\s*FROM\b", text):
                packages_ = " ".join(f'"{each}"' for each in (replacer.replace("torch") or ([], ""))[0])
                text += f"\nRUN pip install --no-cache-dir {packages_}" if packages_ else ""
    if not reasons:
        return None
    return ("" if _empty(text) else text), "; ".join(dict.fromkeys(reasons))


def packages(rest: str, replacer: Replacer, reasons: list[str]) -> str:
    """The arguments of an installation, or a line that continues one."""
    without = _INDEX.sub("", rest)
    if without != rest:
        reasons.append(INDEX)

    def exchange(match: re.Match[str]) -> str:
        word = match[0]
        found = replacer.replace(word.strip("\"'"))
        if found is None:
            return word
        new, why = found
        reasons.append(why)
        return " ".join(f'"{each}"' for each in new)

    new = _WORD.sub(exchange, without)
    lead = new[: len(new) - len(new.lstrip())]
    return lead + re.sub(r" {2,}(?=\S)", " ", new[len(lead) :]) if new != rest else rest


def _variables(text: str, reasons: list[str]) -> str:
    for old, new in _VARIABLES.items():
        if not re.search(rf"\b{old}\b", text):
            continue
        if new:
            reasons.append(MEMORY)
            text = re.sub(rf"\b{old}\b(\s*[=: ]\s*)\S+", rf"{new}\g<1>.75", text)
        else:
            reasons.append(VARIABLE)
            text = re.sub(rf"\b{old}\b\s*[=:]?\s*(\"[^\"]*\"|'[^']*'|\S+)?", "", text)
    return text


def _empty(text: str) -> bool:
    """Whether nothing is left but the verb: ``RUN pip install``, ``ENV``, ``export``."""
    return bool(
        re.fullmatch(
            r"\s*(?:- )?(?:run:\s*)?(?:RUN\s+)?"
            r"(?:ENV|ARG|export|pip3? install(?:\s+-\S+)*|conda install(?:\s+-\S+)*)?\s*",
            text,
        )
    )
