"""tianzi 填字: recognise a Chinese character in an image, fill the blank in a Chinese text.

Local has the models in this process; Client and AsyncClient call a server. The other names are what they take, return
and raise.
"""

from tianzi.aio import AsyncClient
from tianzi.client import Client
from tianzi.errors import (
    Closed,
    DeadlineExceeded,
    InternalError,
    InvalidInput,
    NotFound,
    Overloaded,
    TianziError,
    Unauthenticated,
    Unavailable,
)
from tianzi.interface import AsyncInterface, Interface
from tianzi.local import Local
from tianzi.security import TLS
from tianzi.types import Blank, Character, Filling, Limits, ModelInfo, Question, Reading, Recognition, ServerInfo, Word

__version__ = "0.1.0"

__all__ = [
    "TLS",
    "AsyncClient",
    "AsyncInterface",
    "Blank",
    "Character",
    "Client",
    "Closed",
    "DeadlineExceeded",
    "Filling",
    "Interface",
    "InternalError",
    "InvalidInput",
    "Limits",
    "Local",
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
