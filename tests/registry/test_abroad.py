"""Work that waits for other machines."""

import asyncio
import subprocess
import sys
import threading
import time

import pytest

from app.registry.abroad import Abroad

STOPPED = """
import asyncio, time
from app.registry.abroad import Abroad
async def main():
    asyncio.create_task(Abroad()(time.sleep, 60))
    await asyncio.sleep(0.1)
asyncio.run(main())
"""


async def test_what_the_work_answers_is_answered() -> None:
    assert await Abroad()(divmod, 7, 2) == (3, 1)


async def test_what_the_work_raises_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        await Abroad()(divmod, 1, 0)


async def test_no_more_run_at_once_than_there_is_room_for_even_when_their_callers_give_up() -> None:
    abroad, running, most = Abroad(2), [0], [0]
    lock = threading.Lock()

    def work() -> None:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        time.sleep(0.05)
        with lock:
            running[0] -= 1

    tasks = [asyncio.create_task(abroad(work)) for _ in range(6)]
    await asyncio.sleep(0.01)
    tasks[0].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert most == [2]


def test_a_process_ends_though_somebody_still_waits_for_another_machine() -> None:
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", STOPPED], capture_output=True, check=True, text=True)
    assert time.monotonic() - began < 5
    assert done.stderr == ""


async def test_a_thread_that_cannot_be_started_takes_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    abroad = Abroad(1)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError):
            await abroad(divmod, 7, 2)
    async with asyncio.timeout(5):
        assert await abroad(divmod, 7, 2) == (3, 1)
