"""The domain errors. They know no protocol; service/tianzi_service/rpc/errors.py maps each to a gRPC status.

TianziError
├── InvalidInput      the request cannot be answered as it is: fix it
├── ModelNotFound     no model of that name or version is loaded
├── ModelNotReady     loading, draining, or its engine is lost: try again later
├── Overloaded        the queue is full: slow down
├── DeadlineExceeded  the caller's time is up, or will be before its turn
├── InferenceError    the model failed on valid input: a fault of ours
└── BundleError       a bundle is missing, broken or of another contract: ends the start
"""


class TianziError(Exception):
    """Base of every error that this project raises on purpose."""


class InvalidInput(TianziError):
    """The caller's input breaks a rule. Names the field, what was seen and the limit.

    >>> str(InvalidInput("image", "9000 px wide, at most 4096"))
    'image: 9000 px wide, at most 4096'
    """

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem


class ModelNotFound(TianziError):
    """No model of that name or version is loaded."""


class ModelNotReady(TianziError):
    """The model is loading or draining, or its engine is lost."""


class Overloaded(TianziError):
    """The queue is full."""


class DeadlineExceeded(TianziError):
    """The caller's time is up, or will be before its turn comes."""


class InferenceError(TianziError):
    """The model failed on input that had passed every check."""


class BundleError(TianziError):
    """A bundle is missing, broken or of another contract. Ends the start with one line."""
