"""The OpenAPI 3.1 description of /v1, made of the messages' descriptors and the comments of their .proto files."""

import re
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from tianzi import __version__
from tianzi_service.rpc.errors import STATUSES
from tianzi_service.settings import Settings
from tianzi_service.web.api import ANY, Form, Operation
from tianzi_service.web.forms import JSON, MULTIPART

F = FieldDescriptor
SCALARS: dict[int, dict[str, Any]] = {
    F.TYPE_STRING: {"type": "string"},
    F.TYPE_BYTES: {"type": "string", "contentEncoding": "base64", "description": "Base64, or a data URI."},
    F.TYPE_BOOL: {"type": "boolean"},
    F.TYPE_UINT32: {"type": "integer", "minimum": 0, "maximum": 2**32 - 1},
    F.TYPE_INT32: {"type": "integer", "format": "int32"},
    F.TYPE_UINT64: {"type": "string", "pattern": "^[0-9]+$"},
    F.TYPE_INT64: {"type": "string", "pattern": "^-?[0-9]+$"},
    F.TYPE_FLOAT: {"type": "number", "format": "float"},
    F.TYPE_DOUBLE: {"type": "number", "format": "double"},
}
ERROR = {
    "type": "object",
    "required": ["code", "message"],
    "properties": {
        "code": {"type": "string", "enum": sorted({row.code.name for row in STATUSES.values()})},
        "message": {"type": "string", "description": "Names field, value and limit."},
        "field": {"type": "string", "description": "The field that is wrong, such as requests[1].image."},
        "request_id": {"type": "string", "description": "Stands in the server's log, too."},
    },
}
HEADERS = {
    "Tianzi-Timeout-Ms": "Milliseconds that the caller waits; then the call ends with 504.",
    "X-Request-Id": "An id for the log; it comes back. Without it the server makes one.",
}


def document(operations: Sequence[Operation], settings: Settings) -> dict[str, Any]:
    """The whole description."""
    schemas: dict[str, Any] = {"Error": ERROR}
    paths: dict[str, Any] = {}
    for each in operations:
        paths.setdefault(each.path, {})[each.method.lower()] = _operation(each, schemas)
    described: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": "tianzi 填字",
            "version": __version__,
            "summary": "Recognises the Chinese character in an image and fills the blanks of a Chinese text.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": {
                "Error": {"description": "What went wrong.", "content": _json({"$ref": "#/components/schemas/Failed"})}
            },
            "parameters": {
                name: {"name": name, "in": "header", "description": told, "schema": {"type": "string"}}
                for name, told in HEADERS.items()
            },
        },
    }
    schemas["Failed"] = {"type": "object", "properties": {"error": {"$ref": "#/components/schemas/Error"}}}
    if settings.token_file is not None:
        described["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        described["security"] = [{"token": []}]
    return described


def _operation(each: Operation, schemas: dict[str, Any]) -> dict[str, Any]:
    name = re.sub(r"[^a-z]+", "_", each.path.removeprefix("/v1/"))
    told: dict[str, Any] = {
        "operationId": name,
        "summary": each.summary,
        "parameters": [{"$ref": f"#/components/parameters/{header}"} for header in HEADERS],
        "responses": {
            "200": {"description": "The answer.", "content": _json(_schema(each.reply.DESCRIPTOR, schemas))},
            "default": {"$ref": "#/components/responses/Error"},
        },
    }
    if each.form is not None:
        told["requestBody"] = {"required": True, "content": _bodies(each.form, schemas)}
        if each.form.plain:
            described: Any = each.form.message.DESCRIPTOR
            options = (field for field in described.fields if _is_option(field, each.form))
            told["parameters"] += [_query(field, schemas) for field in options]
    return told


def _bodies(form: Form, schemas: dict[str, Any]) -> dict[str, Any]:
    """The types that a body may be of."""
    message: Any = form.message.DESCRIPTOR
    item = message.fields_by_name[form.items].message_type if form.items else message
    main: dict[str, Any] = {"type": "string"} if form.main == "text" else {"contentMediaType": ANY}
    fields = {field.name: _field(field, schemas) for field in item.fields if _is_option(field, form)}
    fields[form.main] = {"type": "array", "items": main} if form.items else main
    bodies = {**_json(_schema(message, schemas)), MULTIPART: {"schema": {"type": "object", "properties": fields}}}
    for kind in form.plain:
        bodies[f"{kind}*" if kind.endswith("/") else kind] = {"schema": main}
    return bodies


def _is_option(field: Any, form: Form) -> bool:
    return bool(field.type != F.TYPE_MESSAGE and field.name != form.main)


def _query(field: Any, schemas: dict[str, Any]) -> dict[str, Any]:
    schema = _field(field, schemas)
    told = schema.pop("description", "")
    return {"name": field.name, "in": "query", "description": f"Beside a plain body. {told}", "schema": schema}


def _schema(message: Any, schemas: dict[str, Any]) -> dict[str, Any]:
    """A reference to a message's schema, which is added with those that it needs."""
    if message.file.package == "google.rpc":
        return {"$ref": "#/components/schemas/Error"}
    name = message.full_name.removeprefix(f"{message.file.package}.")
    if name not in schemas:
        schemas[name] = {}
        properties = {field.name: _field(field, schemas) for field in message.fields}
        schemas[name] = {"type": "object", "additionalProperties": False, "properties": properties}
        if told := _comments(message.file.name).get(name):
            schemas[name]["description"] = told
    return {"$ref": f"#/components/schemas/{name}"}


def _field(field: Any, schemas: dict[str, Any]) -> dict[str, Any]:
    if field.type == F.TYPE_MESSAGE:
        schema: dict[str, Any] = _schema(field.message_type, schemas)
    elif field.type == F.TYPE_ENUM:
        schema = {"type": "string", "enum": list(field.enum_type.values_by_name)}
    else:
        schema = {**SCALARS[field.type]}
    if field.is_repeated:
        schema = {"type": "array", "items": schema}
    owner = field.containing_type
    name = owner.full_name.removeprefix(f"{owner.file.package}.")
    told = _comments(owner.file.name).get(f"{name}.{field.name}", "")
    if told:
        schema["description"] = " ".join(filter(None, (told, schema.get("description"))))
    return schema


@cache
def _comments(proto: str) -> dict[str, str]:
    """Message, or message and field → the comment above it. proto: such as tianzi/v1/ocr.proto."""
    package, _, name = proto.rpartition("/")
    return dict(_read_comments((files(package.replace("/", ".")) / name).read_text(encoding="utf-8")))


def _read_comments(source: str) -> Iterator[tuple[str, str]]:
    comment: list[str] = []
    scopes: list[tuple[str, str]] = []  # kind and name of each brace that is open
    for line in map(str.strip, source.splitlines()):
        if line.startswith("//"):
            comment.append(line.removeprefix("//").strip())
            continue
        messages = [name for kind, name in scopes if kind == "message"]
        if opened := re.match(r"(message|oneof|service|enum)\s+(\w+)\s*\{", line):
            scopes.append((opened[1], opened[2]))
            if opened[1] == "message":
                yield ".".join([*messages, opened[2]]), " ".join(comment)
            if line.endswith("}"):
                scopes.pop()
        elif line == "}":
            scopes.pop()
        elif defined := re.match(r"(?:repeated |optional )?[\w.]+ (\w+) = \d+", line):
            yield ".".join([*messages, defined[1]]), " ".join(comment)
        comment = []


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {JSON: {"schema": schema}}
