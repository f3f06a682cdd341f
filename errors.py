"""Every way a request can fail, as one tree; main.py maps it to HTTP, once.

ShareImageError                 500 internal_error
├── BadRequest                  400
│   ├── MalformedForm               malformed_form
│   │   └── MissingBoundary         missing_boundary
│   ├── FileTooLarge                file_too_large
│   ├── UnusableImage           (the picture itself)
│   │   ├── UnsupportedFormat       unsupported_format
│   │   ├── DimensionsTooLarge      dimensions_too_large
│   │   ├── CorruptImage            corrupt_image
│   │   └── ImageTooComplex         image_too_complex
│   └── PictureRefused              picture_refused
├── MissingToken                401 missing_token
├── MissingUploadToken          401 missing_upload_token
├── WrongUploadToken            403 wrong_upload_token
│   └── ExpiredUploadToken
├── WrongSignature              403 wrong_signature
├── OriginNotAllowed            403 origin_not_allowed
├── WrongToken                  403 wrong_token
├── NotFound                    404 not_found
│   └── ObjectNotFound              (storage has no object of that name)
├── MethodNotAllowed            405 method_not_allowed
├── UploadTooSlow               408 upload_too_slow
├── Gone                        410 gone
│   └── ObjectDeleted               (storage has a tombstone of that name)
├── PreconditionFailed          412 precondition_failed
├── RangeNotSatisfiable         416 range_not_satisfiable
├── ObjectExists                500 (the name is taken; shares.py decides what it means)
├── InvalidFields               422 invalid_fields
│   └── UnusableKey                 (the Idempotency-Key)
├── TooManyRequests             429 too_many_requests
├── Busy                        503 busy
├── CheckUnavailable            503 check_unavailable
└── StorageUnavailable          503 storage_unavailable
    └── StorageSuspended            (not asked at all)

ConfigurationError              the process does not start
"""

from __future__ import annotations

from http import HTTPStatus
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from uuid import UUID


class ShareImageError(Exception):
    """A request that failed: what the client is told, and what only the log is told.

    status: the HTTP status; code: a stable machine word; detail: the public text, the status's own
    phrase where there is no better one; reason: the private cause, which goes into the log.
    """

    status: ClassVar[HTTPStatus] = HTTPStatus.INTERNAL_SERVER_ERROR
    code: ClassVar[str] = "internal_error"
    detail: str = ""
    _headers: Mapping[str, str] = MappingProxyType({})

    def __init__(self, reason: str = "", *, detail: str | None = None) -> None:
        self.reason = reason
        self.detail = detail or self.detail or self.status.phrase
        super().__init__(reason or self.detail)

    def body(self) -> dict[str, Any]:
        """Return the JSON body of the answer."""
        return {"detail": self.detail, "code": self.code}

    def headers(self) -> Mapping[str, str]:
        """Return the header fields that belong to this answer alone."""
        return self._headers


class BadRequest(ShareImageError):
    """The request cannot be used as it was sent."""

    status = HTTPStatus.BAD_REQUEST
    code = "bad_request"


class MalformedForm(BadRequest):
    """The body is not the form that its Content-Type announces."""

    code = "malformed_form"
    detail = "There was an error parsing the body"


class MissingBoundary(MalformedForm):
    """Content-Type announces multipart/form-data without a boundary (RFC 7578, section 4.1)."""

    code = "missing_boundary"
    detail = "Missing boundary in multipart."


class FileTooLarge(BadRequest):
    """The file, or the body that carries it, is larger than MAX_UPLOAD_MB."""

    code = "file_too_large"

    def __init__(self, *, max_bytes: int, reason: str = "") -> None:
        max_mb = f"{max_bytes / 1_000_000:g}MB"
        super().__init__(reason, detail=f"File too large for sharing (max {max_mb})")


class UnusableImage(BadRequest):
    """The file arrived whole, but no picture can be made of it."""

    code = "unusable_image"
    detail = "The picture cannot be used"


class UnsupportedFormat(UnusableImage):
    """The first bytes are not those of a format in INPUT_FORMATS."""

    code = "unsupported_format"

    def __init__(self, *, supported: Iterable[str], reason: str = "") -> None:
        super().__init__(reason, detail=f"Invalid file type. Only {'/'.join(supported)} supported")


class DimensionsTooLarge(UnusableImage):
    """The header announces more pixels, or a longer side, than the limits allow."""

    code = "dimensions_too_large"

    def __init__(self, *, limit: str, reason: str = "") -> None:
        super().__init__(reason, detail=f"Image dimensions too large (max {limit})")


class CorruptImage(UnusableImage):
    """The decoder cannot read the picture to its end."""

    code = "corrupt_image"
    detail = "The picture is damaged or incomplete"


class ImageTooComplex(UnusableImage):
    """The picture would cost far more to decode than its size accounts for."""

    code = "image_too_complex"
    detail = "The picture is too complex to process"


class PictureRefused(BadRequest):
    """The picture may be looked at, but not be published; only the log says why."""

    code = "picture_refused"
    detail = "This picture cannot be published"


class MissingToken(ShareImageError):
    """Deletion was asked for without a delete_token (RFC 6750, section 3)."""

    status = HTTPStatus.UNAUTHORIZED
    code = "missing_token"
    detail = "Missing delete_token: send it as Authorization: Bearer"
    _headers = MappingProxyType({"WWW-Authenticate": "Bearer"})


class MissingUploadToken(ShareImageError):
    """Uploads need a token, and the request has none where one is looked for."""

    status = HTTPStatus.UNAUTHORIZED
    code = "missing_upload_token"
    detail = "Missing upload token: send it as Authorization: Bearer, or as token before the file"
    _headers = MappingProxyType({"WWW-Authenticate": "Bearer"})


class WrongUploadToken(ShareImageError):
    """The token does not let this request in; only the log says why (RFC 6750, section 3.1)."""

    status = HTTPStatus.FORBIDDEN
    code = "wrong_upload_token"
    detail = "This upload token is not valid"
    _headers = MappingProxyType({"WWW-Authenticate": 'Bearer error="invalid_token"'})


class ExpiredUploadToken(WrongUploadToken):
    """The token was right once: a new one will do."""

    detail = "This upload token has expired"


class WrongSignature(ShareImageError):
    """A request says that it comes by way of the shop's app proxy, and does not."""

    status = HTTPStatus.FORBIDDEN
    code = "wrong_signature"
    detail = "The signature of the app proxy is missing, wrong or too old"


class OriginNotAllowed(ShareImageError):
    """A page of an origin outside ALLOWED_ORIGINS tried to share."""

    status = HTTPStatus.FORBIDDEN
    code = "origin_not_allowed"
    detail = "Origin not allowed"


class WrongToken(ShareImageError):
    """The token is not the key of this share, whether the share exists or not."""

    status = HTTPStatus.FORBIDDEN
    code = "wrong_token"
    detail = "This delete_token does not belong to this share"


class NotFound(ShareImageError):
    """There is nothing at this address."""

    status = HTTPStatus.NOT_FOUND
    code = "not_found"


class ObjectNotFound(NotFound):
    """Storage holds no object of that name."""


class MethodNotAllowed(ShareImageError):
    """The address exists, but not for this method (RFC 9110, section 15.5.6)."""

    status = HTTPStatus.METHOD_NOT_ALLOWED
    code = "method_not_allowed"

    def __init__(self, *, allowed: Sequence[str]) -> None:
        super().__init__()
        self._headers = {"Allow": ", ".join(allowed)}


class Gone(ShareImageError):
    """The share has expired; share_id: None where it is unknown."""

    status = HTTPStatus.GONE
    code = "gone"
    detail = "This share has ended"

    def __init__(self, share_id: UUID | None = None, *, reason: str = "") -> None:
        super().__init__(reason)
        self.share_id = share_id


class ObjectDeleted(Gone):
    """Storage holds a tombstone of that name: the object was deleted, and cannot come back."""

    detail = "This share was deleted"


class UploadTooSlow(ShareImageError):
    """The body did not arrive in time (RFC 9110, section 15.5.9)."""

    status = HTTPStatus.REQUEST_TIMEOUT
    code = "upload_too_slow"
    detail = "The upload took too long"


class PreconditionFailed(ShareImageError):
    """If-Match names other representations than the one there is (RFC 9110, section 15.5.13)."""

    status = HTTPStatus.PRECONDITION_FAILED
    code = "precondition_failed"


class RangeNotSatisfiable(ShareImageError):
    """Range asks for bytes beyond the end (RFC 9110, section 15.5.17)."""

    status = HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
    code = "range_not_satisfiable"
    detail = "Range Not Satisfiable"

    def __init__(self, *, size_bytes: int) -> None:
        super().__init__()
        self._headers = {"Content-Range": f"bytes */{size_bytes}"}


class ObjectExists(ShareImageError):
    """The name is taken: put creates, and replaces nothing."""

    def __init__(self, name: str) -> None:
        super().__init__(f"object exists: {name}")
        self.name = name


class FieldProblem(NamedTuple):
    """One entry of a 422 answer, in the form that the replaced endpoint gave it."""

    type: str  # missing, value_error or string_type
    loc: tuple[str, str]  # where, such as ("body", "file")
    msg: str
    input: None = None  # what was sent is not echoed

    @classmethod
    def missing(cls, field: str) -> FieldProblem:
        """Return the problem of a required form field that is absent or empty."""
        return cls(type="missing", loc=("body", field), msg="Field required")


class InvalidFields(ShareImageError):
    """Form fields or header fields are missing or unusable: one problem for each."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    code = "invalid_fields"

    def __init__(self, problems: Sequence[FieldProblem]) -> None:
        super().__init__("; ".join(f"{'.'.join(p.loc)}: {p.msg}" for p in problems))
        self.problems = tuple(problems)

    def body(self) -> dict[str, Any]:
        """Return the JSON body: `detail` is a list here, one entry per problem."""
        return {"detail": [p._asdict() for p in self.problems], "code": self.code}


class UnusableKey(InvalidFields):
    """The Idempotency-Key is not one that a share can be made under."""

    def __init__(self, message: str) -> None:
        where = ("header", "Idempotency-Key")
        super().__init__([FieldProblem("value_error", where, f"Value error, {message}")])


class TooManyRequests(ShareImageError):
    """A client made more shares than RATE_LIMIT allows (RFC 6585, section 4)."""

    status = HTTPStatus.TOO_MANY_REQUESTS
    code = "too_many_requests"
    detail = "Too many pictures shared; try again later"

    def __init__(self, *, retry_after_s: int, rate_limit: Mapping[str, str]) -> None:
        super().__init__()
        self._headers = {"Retry-After": str(retry_after_s), **rate_limit}


class Busy(ShareImageError):
    """There is no memory for the picture at this moment; there will be soon."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    code = "busy"
    detail = "Image sharing service temporarily unavailable"
    _headers = MappingProxyType({"Retry-After": "5"})  # seconds: pictures take one or two each


class CheckUnavailable(ShareImageError):
    """There is no verdict on the picture, and without one it is not published."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    code = "check_unavailable"
    detail = "Image sharing service temporarily unavailable"
    _headers = MappingProxyType({"Retry-After": "5"})  # seconds: as long as a check may take


class StorageUnavailable(ShareImageError):
    """Storage cannot be reached in time, or refuses."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    code = "storage_unavailable"
    detail = "Image sharing service temporarily unavailable"


class StorageSuspended(StorageUnavailable):
    """Storage hung before, and was not asked: nothing was stored."""


class ConfigurationError(Exception):
    """The environment does not describe a service that can run; lists every problem at once."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(("cannot start:", *(f"  {problem}" for problem in problems))))
        self.problems = tuple(problems)
