"""The QR code of a page, read back from its lines."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import segno
from function_server import ROOT
from test_pages import page_of, share

from serving.qr_code import QUIET_MODULES, qr_code

if TYPE_CHECKING:
    from conftest import MakeClient

URL = (
    "https://share-image-abcdefghij-ew.a.run.app/share-image/s/01a20607-dcde-79db-bd8f-fca77fe73146"
)


def modules(svg: str) -> set[tuple[int, int]]:
    """Return the dark modules (column, row), the quiet zone left out."""
    found = re.search(r' d="([^"]+)"', svg)
    assert found
    dark, x, y = set(), 0.0, 0.0
    for command, text in re.findall(r"([Mmh])([^Mmh]+)", found[1]):
        numbers = [float(number) for number in re.findall(r"-?[\d.]+", text)]
        if command == "h":
            dark |= {(int(x) + i, int(y)) for i in range(int(numbers[0]))}
            x += numbers[0]
        else:
            x, y = (0, 0) if command == "M" else (x, y)
            x, y = x + numbers[0], y + numbers[1]
    return {(column - QUIET_MODULES, row - QUIET_MODULES) for column, row in dark}


def test_a_code_holds_the_address_and_corrects_15_percent() -> None:
    code = segno.make_qr(URL, error="m")
    rows = enumerate(code.matrix)
    assert modules(qr_code(URL)) == {
        (x, y) for y, row in rows for x, dark in enumerate(row) if dark
    }
    side = code.symbol_size(border=QUIET_MODULES)[0]
    assert f'viewBox="0 0 {side} {side}"' in qr_code(URL)


def test_the_page_shows_the_code_of_its_own_undecorated_address(
    make_client: MakeClient, photo: bytes
) -> None:
    client = make_client(PUBLIC_BASE_URL="https://share.example/fn")
    shared = share(client, photo)
    expected = qr_code(shared["page_url"])
    for query in ("", "?via=x"):
        assert expected in client.get(f"/s/{shared['share_id']}{query}").text
    assert "svg" in page_of(client, shared).tags


def test_a_code_is_drawn_once() -> None:
    assert qr_code(URL) is qr_code(URL)


def test_a_start_does_not_wait_for_it() -> None:
    program = "import sys, main; print('segno' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "False"
