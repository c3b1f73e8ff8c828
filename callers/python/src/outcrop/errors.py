"""The error of a call, from the details of its status."""

from dataclasses import dataclass

import grpc
from google.rpc import error_details_pb2, status_pb2

from outcrop.reason import Reason

DETAILS = "grpc-status-details-bin"

# The reasons of statuses that the client makes itself, which have no details.
LOCAL = {
    grpc.StatusCode.CANCELLED: Reason.CALLER_CANCELLED,
    grpc.StatusCode.DEADLINE_EXCEEDED: Reason.CALLER_DEADLINE,
}


@dataclass(frozen=True)
class Violation:
    """A field of the request that is invalid."""

    field: str
    description: str


@dataclass(frozen=True)
class QuotaViolation:
    """A limit that is reached, and its subject."""

    subject: str
    description: str


class OutcropError(Exception):
    """A call failed. `reason` says why, and `phase` whether content had arrived before."""

    def __init__(self, message, *, code, reason, phase, **details):
        super().__init__(message)
        #: The message of the status.
        self.message: str = message
        #: The code of the status.
        self.code: grpc.StatusCode = code
        #: A `Reason`, or the text of one that this version of the package does not know.
        self.reason: Reason | str = reason
        #: `before_content` or `after_content`.
        self.phase: str = phase
        #: The seconds after which the call can be repeated, or None if a retry cannot help.
        self.retry_delay: float | None = details.get("retry_delay")
        #: The fields of the request that are invalid.
        self.violations: list[Violation] = details.get("violations", [])
        #: The limits of the server that are reached.
        self.quota_violations: list[QuotaViolation] = details.get("quota_violations", [])
        #: The metadata of ErrorInfo, such as `model_id`, `region` and `attempts`.
        self.metadata: dict[str, str] = details.get("metadata", {})
        #: The AWS request id, or an empty string.
        self.request_id: str = details.get("request_id", "")
        #: The id of the call in the log of the server, or an empty string.
        self.generation_id: str = details.get("generation_id", "")

    def __str__(self):
        return f"{self.reason}: {self.message} ({self.code.name}, {self.phase})"

    @property
    def is_retryable(self) -> bool:
        """Whether the whole call can be repeated after `retry_delay`. What has arrived is then not a part of the new answer."""
        return self.retry_delay is not None


def reason_of(name):
    return Reason(name) if name in Reason.__members__ else name


def metadata_of(error):
    """The metadata of a failed call, of its beginning and its end. Values of keys that end in `-bin` are bytes."""
    return dict([*(error.initial_metadata() or ()), *(error.trailing_metadata() or ())])


def from_rpc_error(error, phase="before_content") -> OutcropError:
    """The error for a status of grpc, whether the server or the client made it."""
    metadata = metadata_of(error)
    found = {}
    status = status_pb2.Status.FromString(metadata.get(DETAILS, b""))
    for detail in status.details:
        for kind in ("ErrorInfo", "RetryInfo", "RequestInfo", "QuotaFailure", "BadRequest"):
            message = getattr(error_details_pb2, kind)()
            if detail.Unpack(message):
                found[kind] = message
    info = found.get("ErrorInfo")
    retry = found.get("RetryInfo")
    request = found.get("RequestInfo")
    quota = found.get("QuotaFailure")
    invalid = found.get("BadRequest")
    return OutcropError(
        error.details() or "",
        code=error.code(),
        reason=reason_of(info.reason) if info else LOCAL.get(error.code(), Reason.TRANSPORT),
        phase=(info and info.metadata.get("phase")) or phase,
        retry_delay=retry.retry_delay.ToTimedelta().total_seconds() if retry else None,
        violations=[Violation(one.field, one.description) for one in invalid.field_violations] if invalid else [],
        quota_violations=[QuotaViolation(one.subject, one.description) for one in quota.violations] if quota else [],
        metadata=dict(info.metadata) if info else {},
        request_id=request.request_id if request else "",
        generation_id=metadata.get("outcrop-generation-id", ""),
    )


def broken_contract(message, phase) -> OutcropError:
    """The error for an answer that is not what the contract promises. A proxy can cause it."""
    return OutcropError(message, code=grpc.StatusCode.DATA_LOSS, reason=Reason.TRANSPORT, phase=phase)
