"""Which addresses of a cluster are accepted, also by configurations made in Python."""

import pytest

from pipeline.captioning.config import CaptioningConfig
from pipeline.cluster.address import check_address
from pipeline.reading.search.query import SearchConfig
from pipeline.training.distributed import Hardware


@pytest.mark.parametrize("address", [None, "auto", "local", "head:6379", "10.0.0.7:6379", "[fe80::1]:6379", "a-b.c:1"])
def test_addresses_of_clusters_are_accepted(address: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    check_address(address)


def test_the_address_of_the_environment_counts_for_auto_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "ray://head:10001")
    for address in (None, "local", "head:6379"):
        check_address(address)
    with pytest.raises(ValueError, match="RAY_ADDRESS=ray://head:10001: Ray Data does not run through Ray Client"):
        check_address("auto")


@pytest.mark.parametrize(
    "make",
    [
        lambda address: CaptioningConfig(catalogue="in", output="out", address=address),
        lambda address: SearchConfig(output="out", query="slow", address=address),
        lambda address: Hardware(address=address),
    ],
    ids=["captioning", "search", "training"],
)
def test_a_configuration_refuses_ray_client(make) -> None:
    with pytest.raises(ValueError, match="muscaps submit --address http://head:8265 -- COMMAND"):
        make("ray://head:10001")
