"""tianzi 填字: recognise a Chinese character in an image, fill the blank in a Chinese text.

Client and AsyncClient call a server; the other names are what they take, return and raise.
"""

from tianzi.aio import AsyncClient
from tianzi.client import Client
from tianzi.errors import (
    DeadlineExceeded,
    InternalError,
    InvalidInput,
    NotFound,
    Overloaded,
    TianziError,
    Unauthenticated,
    Unavailable,
)
from tianzi.security import TLS
from tianzi.types import Blank, Character, Filling, Limits, ModelInfo, Question, Reading, Recognition, ServerInfo, Word

__version__ = "0.1.0"

__all__ = [
    "TLS",
    "AsyncClient",
    "Blank",
    "Character",
    "Client",
    "DeadlineExceeded",
    "Filling",
    "InternalError",
    "InvalidInput",
    "Limits",
    "ModelInfo",
    "NotFound",
    "Overloaded",
    "Question",
    "Reading",
    "Recognition",
    "ServerInfo",
    "TianziError",
    "Unauthenticated",
    "Unavailable",
    "Word",
]
