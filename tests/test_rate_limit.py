"""Who is a client, and how many shares one may make."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from function_server import free_port

from errors import TooManyRequests
from logs import request_line
from serving.rate_limit import RateLimiter, client_address


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

    def test_a_client_waits_for_a_second_at_least(self) -> None:
        assert RateLimiter("9/second", "memory://").count("1.2.3.4")["RateLimit"].endswith(";t=1")

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

    def test_it_tells_whether_the_shared_storage_answered_last_time(self) -> None:
        limiter = RateLimiter("2/hour", f"redis://127.0.0.1:{free_port()}")
        assert limiter.state == "unknown"
        limiter.warm_up()
        assert limiter.state == "unreachable"
        assert RateLimiter("2/hour", "memory://").state == "memory"
