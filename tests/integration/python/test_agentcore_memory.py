"""What a result from AgentCore costs in memory while it comes: the frame in flight, and what is kept of it, 1 MiB of a stream,
or an image."""

from __future__ import annotations

import base64
import ctypes
from collections.abc import Callable, Iterator

import agentcorelab
import pytest

import libci

MIB = 1 << 20
SIZE = 20 * MIB
LINE = 64 << 10  # about a frame
VALUES = 4 * MIB  # that are made before there are too many
ELSE = 6 * MIB  # what is kept of stdout, and the interpreter's own


@pytest.fixture(scope="module")
def service() -> Iterator[agentcorelab.Service]:
    try:
        with agentcorelab.start() as service:
            yield service
    except agentcorelab.Missing as error:
        pytest.skip(str(error))


@pytest.fixture
def session(service: agentcorelab.Service) -> Iterator[libci.Session]:
    key_id, secret, token = agentcorelab.ROLE_KEY
    keys = {"access_key_id": key_id, "secret_access_key": secret, "session_token": token}
    options = {"endpoint": service.endpoint, "region": agentcorelab.REGION, "environment": False}
    with libci.Sandbox.agentcore(**options, **keys) as sandbox, libci.Session(sandbox=sandbox) as session:
        session.run_code("print(1)")  # whatever is made once is made
        yield session


def peak_bytes() -> int:
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM"))


def growth(run: Callable[[], object]) -> int:
    """Of this process's peak."""
    ctypes.CDLL(None).malloc_trim(0)  # what is free is not there already
    with open("/proc/self/clear_refs", "w") as clear:
        clear.write("5")  # it starts anew
    before = peak_bytes()
    run()
    return peak_bytes() - before


def test_of_one_frame_there_is_itself_each_time(service: agentcorelab.Service, session: libci.Session) -> None:
    def run() -> None:
        assert session.run_code("pass").stdout_total == SIZE

    for _ in range(3):
        service.control("PUT", "rules", [{"operation": "Invoke", "result_bytes": SIZE}])
        assert growth(run) < SIZE + ELSE


def test_an_image_is_decoded_where_it_lies(service: agentcorelab.Service, session: libci.Session) -> None:
    data = base64.b64encode(bytes(SIZE // 4 * 3)).decode()
    content = [{"type": "image", "mimeType": "image/png", "data": data}]
    service.control("PUT", "rules", [{"operation": "Invoke", "result": {"content": content}}])

    def run() -> None:
        [item] = session.run_code("pass").items
        assert len(item.data) == SIZE // 4 * 3

    assert growth(run) < SIZE + SIZE // 4 * 3 + ELSE


def test_a_frame_full_of_values_is_refused(service: agentcorelab.Service, session: libci.Session) -> None:
    content = [{}] * (SIZE // 3)
    service.control("PUT", "rules", [{"operation": "Invoke", "result": {"content": content}}])

    def run() -> None:
        with pytest.raises(libci.Error, match="more values than a result has"):
            session.run_code("pass")

    assert growth(run) < SIZE + VALUES + ELSE


def test_frames_that_were_read_are_gone(session: libci.Session) -> None:
    def run() -> None:
        result = session.run_code(f"for _ in range({SIZE // LINE}): print('x' * {LINE - 1})")
        assert result.stdout_total == SIZE

    assert growth(run) < ELSE
