from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from function_server import free_port

from errors import Busy, ImageTooComplex, OriginNotAllowed, TooManyRequests
from guards import MemoryBudget, Origins, RateLimiter, client_address
from logs import request_line

OWN = ("https://share.example",)
SHOP = Origins.of(("https://shop.example", "https://*.shopifypreview.com", "http://localhost:3000"))


@pytest.mark.parametrize(
    "origin",
    [
        "https://shop.example",
        "https://a1b2-c3.shopifypreview.com",
        "http://localhost:3000",
        "https://share.example",
    ],
)
def test_listed_origins_and_the_functions_own_pass(origin: str) -> None:
    SHOP.check(origin, OWN)
    assert SHOP.headers(origin, OWN)["Access-Control-Allow-Origin"] == origin


@pytest.mark.parametrize(
    "origin",
    [
        "http://shop.example",
        "https://shop.example:8443",
        "https://shop.example.evil.example",
        "https://evilshop.example",
        "https://shopXexample",
        "https://shopifypreview.com",
        "https://.shopifypreview.com",
        "https://a.b.shopifypreview.com",
        "https://evil.example/.shopifypreview.com",
        "https://evil.example#.shopifypreview.com",
        "https://shop.example\nhttps://evil.example",
        "null",
        "",
    ],
)
def test_every_other_origin_is_refused_and_gets_no_cors_header(origin: str) -> None:
    with pytest.raises(OriginNotAllowed):
        SHOP.check(origin, OWN)
    assert SHOP.headers(origin, OWN) == {"Vary": "Origin"}


def test_pages_of_named_origins_may_send_credentials_and_no_others() -> None:
    """As the replaced endpoint let them. Beside `*` browsers would refuse the answer."""
    named = ("https://shop.example", "https://a1b2-c3.shopifypreview.com")
    for origin in named:
        assert SHOP.headers(origin, OWN)["Access-Control-Allow-Credentials"] == "true"
    everyone = Origins.of(("*",))
    others: list[tuple[Origins, str | None]] = [
        (SHOP, OWN[0]),
        (SHOP, "https://evil.example"),
        (SHOP, None),
        (everyone, named[0]),
        (everyone, None),
    ]
    for origins, other in others:
        assert "Access-Control-Allow-Credentials" not in origins.headers(other, OWN)


def test_a_request_without_an_origin_passes() -> None:
    SHOP.check(None, OWN)
    assert SHOP.headers(None, OWN) == {"Vary": "Origin"}


def test_a_star_lets_every_origin_in_without_varying() -> None:
    everyone = Origins.of(("*",))
    everyone.check("https://anywhere.example", OWN)
    headers = everyone.headers("https://anywhere.example", OWN)
    assert headers["Access-Control-Allow-Origin"] == "*"
    assert "Vary" not in headers


class TestClientAddress:
    @pytest.mark.parametrize(
        ("forwarded_for", "hops", "expected"),
        [
            ([], 1, "9.9.9.9"),
            (["1.2.3.4"], 1, "1.2.3.4"),
            (["6.6.6.6", "1.2.3.4"], 1, "1.2.3.4"),
            (["6.6.6.6", "1.2.3.4", "35.1.1.1"], 2, "1.2.3.4"),
            (["1.2.3.4"], 2, "9.9.9.9"),
            (["1.2.3.4"], 0, "9.9.9.9"),
            (["2001:db8:1:2:3:4:5:6"], 1, "2001:db8:1:2::/64"),
            (["2001:db8:1:2:ffff::1"], 1, "2001:db8:1:2::/64"),
            (["::ffff:1.2.3.4"], 1, "1.2.3.4"),
            (["nonsense"], 1, "9.9.9.9"),
            (["1.2.3.4\nx"], 1, "9.9.9.9"),
        ],
    )
    def test_only_what_our_own_proxies_wrote_counts(
        self, forwarded_for: list[str], hops: int, expected: str
    ) -> None:
        assert client_address(forwarded_for, "9.9.9.9", trusted_hops=hops) == expected


class TestRateLimiter:
    def test_the_request_above_the_limit_is_refused_and_told_when_to_come_back(self) -> None:
        limiter = RateLimiter("3/hour", "memory://")
        left = [limiter.count("1.2.3.4")["RateLimit"] for _ in range(3)]
        assert [text.split(";")[1] for text in left] == ["r=2", "r=1", "r=0"]
        with pytest.raises(TooManyRequests) as caught:
            limiter.count("1.2.3.4")
        headers = caught.value.headers()
        assert 0 < int(headers["Retry-After"]) <= 3600
        assert headers["RateLimit-Policy"] == '"share";q=3;w=3600'
        assert headers["RateLimit"] == f'"share";r=0;t={headers["Retry-After"]}'

    def test_clients_are_counted_apart(self) -> None:
        limiter = RateLimiter("1/hour", "memory://")
        limiter.count("1.2.3.4")
        limiter.count("1.2.3.5")
        with pytest.raises(TooManyRequests):
            limiter.count("1.2.3.4")

    def test_threads_that_start_at_once_count_together(self) -> None:
        limiter = RateLimiter("20/hour", "memory://")

        def count(_: int) -> bool:
            try:
                limiter.count("1.2.3.4")
            except TooManyRequests:
                return False
            return True

        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(count, range(40))) == 20

    def test_while_the_shared_storage_is_down_counting_goes_on_in_memory(self) -> None:
        limiter = RateLimiter("2/hour", f"redis://127.0.0.1:{free_port()}")
        with request_line() as line:
            limiter.count("1.2.3.4")
        assert line["rate_limit_storage"].startswith("counting in memory")
        with request_line() as line:
            limiter.count("1.2.3.4")
        assert "rate_limit_storage" not in line, "one line for one outage"
        with pytest.raises(TooManyRequests):
            limiter.count("1.2.3.4")


class TestMemoryBudget:
    def test_what_fits_goes_at_once_up_to_the_last_byte(self) -> None:
        budget = MemoryBudget(100, max_waiting=1)
        with budget.reserve(60), budget.reserve(40):
            pass

    def test_what_can_never_fit_is_the_pictures_fault(self) -> None:
        budget = MemoryBudget(100, max_waiting=1)
        with pytest.raises(ImageTooComplex), budget.reserve(101):
            pass

    def test_what_does_not_fit_now_waits_for_its_part(self) -> None:
        budget = MemoryBudget(100, max_waiting=1)
        entered, leave = threading.Event(), threading.Event()

        def hold() -> None:
            with budget.reserve(60):
                entered.set()
                leave.wait()

        holder = threading.Thread(target=hold)
        holder.start()
        entered.wait()
        threading.Timer(0.3, leave.set).start()
        started = time.monotonic()
        with budget.reserve(60):
            waited_s = time.monotonic() - started
        holder.join()
        assert 0.25 < waited_s < 3

    def test_small_work_passes_large_work_that_waits(self) -> None:
        budget = MemoryBudget(100, max_waiting=2)
        with ThreadPoolExecutor(1) as pool, budget.reserve(60):
            waiting = pool.submit(self._reserve, budget, 90)
            time.sleep(0.1)
            with budget.reserve(40):
                assert not waiting.done()
            assert isinstance(waiting.exception(), Busy)

    def test_more_than_so_many_do_not_wait(self) -> None:
        budget = MemoryBudget(100, max_waiting=1)
        with ThreadPoolExecutor(1) as pool, budget.reserve(100):
            waiting = pool.submit(self._reserve, budget, 1)
            time.sleep(0.1)
            started = time.monotonic()
            with pytest.raises(Busy) as caught, budget.reserve(1):
                pass
            assert time.monotonic() - started < 0.5
            assert caught.value.headers() == {"Retry-After": "5"}
            assert isinstance(waiting.exception(), Busy)

    def test_what_failed_gives_its_memory_back(self) -> None:
        budget = MemoryBudget(100, max_waiting=1)
        with pytest.raises(RuntimeError), budget.reserve(100):
            raise RuntimeError
        with budget.reserve(100):
            pass

    @staticmethod
    def _reserve(budget: MemoryBudget, needed_bytes: int) -> None:
        with budget.reserve(needed_bytes):
            pass
