"""The running function is held to openapi.json."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pictures
import pytest
import schemathesis
from function_server import ROOT
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from keys import is_uuid7, uuid7
from openapi_spec_validator import validate
from schemathesis.specs.openapi.checks import (
    negative_data_rejection,
    positive_data_acceptance,
)

from errors import ShareImageError
from main import ROUTES

if TYPE_CHECKING:
    from function_server import FunctionServer

DOCUMENT: dict[str, Any] = json.loads((ROOT / "openapi.json").read_text())

PICTURES = [
    pictures.photo_jpeg((64, 48)),
    pictures.cutout_png((48, 64)),
    pictures.webp((20, 20)),
    pictures.gif((9, 9)),
]
schemathesis.openapi.format("binary", st.sampled_from(PICTURES))
schemathesis.openapi.format("uuid7", st.builds(uuid7))


def test_the_document_is_valid_openapi() -> None:
    validate(DOCUMENT)


def test_the_document_lists_every_route_and_method_and_no_other() -> None:
    routes: dict[str, set[str]] = {}
    for rule in ROUTES.iter_rules():
        path = rule.rule.replace("<", "{").replace(">", "}")
        routes.setdefault(path, {"options"}).update(m.lower() for m in rule.methods or ())
    documented = {
        path: set(item) - {"parameters", "summary"} for path, item in DOCUMENT["paths"].items()
    }
    assert documented == routes


def test_every_error_code_is_documented_and_no_other() -> None:
    def codes(error: type[ShareImageError]) -> set[str]:
        return {error.code}.union(*(codes(kind) for kind in error.__subclasses__()))

    schemas = DOCUMENT["components"]["schemas"]
    documented = set(schemas["Error"]["properties"]["code"]["enum"])
    documented.add(schemas["FieldErrors"]["properties"]["code"]["const"])
    assert documented == codes(ShareImageError)


def checks_that_do_not_fit(case: schemathesis.Case[Any]) -> list[Any]:
    """Return the checks that would take a right answer for a wrong one."""
    if case.media_type == "multipart/form-data":
        # Everything is text there: a value of another type is a good value after all.
        return [negative_data_rejection]
    # A range is valid by its form, and yet may begin behind the end; so may a condition not hold.
    is_conditional = "Range" in case.headers or "If-Match" in case.headers
    return [positive_data_acceptance] if is_conditional else []


api = schemathesis.openapi.from_path(ROOT / "openapi.json")


@pytest.mark.slow
@api.parametrize()
@settings(max_examples=20, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_every_answer_is_one_that_the_document_promises(
    case: schemathesis.Case[Any], server: FunctionServer
) -> None:
    if is_uuid7(case.headers.get("Idempotency-Key")):
        case.headers["Idempotency-Key"] = uuid7()  # generated ones come again, with other forms
    case.call_and_validate(base_url=server.url, excluded_checks=checks_that_do_not_fit(case))


class Workflow(api.as_state_machine()):  # type: ignore[misc] # the class is made at run time
    """Shares that are made, looked at and taken back, in any order, as the document links them."""

    url = ""

    def get_call_kwargs(self, case: schemathesis.Case[Any]) -> dict[str, Any]:
        if is_uuid7(case.headers.get("Idempotency-Key")):
            case.headers["Idempotency-Key"] = uuid7()
        return {"base_url": self.url}

    def validate_response(
        self, response: schemathesis.Response, case: schemathesis.Case[Any], **_options: object
    ) -> None:
        excluded = checks_that_do_not_fit(case)  # what super().validate_response would not hear of
        case.validate_response(response, excluded_checks=excluded, recorder=self.recorder)


@pytest.mark.slow
def test_what_one_answer_links_to_is_answered_as_promised(server: FunctionServer) -> None:
    Workflow.url = server.url
    Workflow.run(
        settings=settings(
            max_examples=15,
            stateful_step_count=6,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        )
    )
