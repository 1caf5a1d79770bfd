"""When a repository elsewhere is looked at: by whoever follows it, and for readers who miss something."""

import logging
import threading
import time

from app.stores.errors import RemoteUnavailableError, StoreError
from app.stores.git.mirror import Mirror

LOOK_EVERY = 0.25  # seconds
LONGEST_PAUSE = 10.0  # seconds between looks at a remote that does not answer
GLANCE = 2.0  # seconds a reader waits for a look
MOST_MISSED = 8  # commits that one look asks for by their ids
CURE_EVERY = 60.0  # seconds
log = logging.getLogger("ml_registry.git")


class Looks:
    """The looks of one mirror at its remote: one at a time, which does for all who waited for it.

    Readers do not look themselves: a thread does it, and no reader waits for it longer than `GLANCE`.
    """

    def __init__(self, mirror: Mirror) -> None:
        self._mirror = mirror
        self._turn = threading.Lock()
        self._news = threading.Condition()
        self._sent = False  # whether there is a thread that looks for readers
        self._missed: dict[str, None] = {}  # commits they miss
        self.listed = float("-inf")  # when the last look that was a success began
        self._began = float("-inf")  # when the last look began
        self._ended = float("-inf")  # when the last look that is over began
        self._failed: StoreError | None = None  # why it was no success
        self._doubted = False
        self._cured = float("-inf")  # when the mirror was last made anew because of a doubt
        self._pause = LOOK_EVERY
        self._rests_until = float("-inf")

    def look(self, since: float | None) -> None:
        """See Repository.fetch."""
        asked = time.monotonic()
        with self._turn:
            if self._began > (asked if since is None else since) and self._failed is None:
                return
            if self._began > asked and self._failed is not None:
                raise self._failed.with_traceback(None)
            self._follow()

    def begin(self) -> None:
        """Have the first look done; soon after a failure nobody is asked, and it is the answer again.

        Raises what `look` raises, and RemoteUnavailableError when it takes longer than readers wait.
        """
        over = self._wait(None)
        if failed := self._failed:
            raise failed.with_traceback(None)
        if not over:
            raise RemoteUnavailableError("The repository is being fetched for the first time; ask again in a moment.")

    def glance(self, commit: str | None) -> bool:
        """Have something looked for that a reader misses, a commit also by its id; whether it may be here now."""
        return self._wait(commit) and self._failed is None

    def _wait(self, commit: str | None) -> bool:
        """Wait for a look that begins from now on; False when it has not ended, or is not to be soon.

        One that runs and has taken as long as a reader waits is not waited for.
        """
        asked = time.monotonic()
        with self._news:
            if commit:
                self._missed[commit] = None
            try:
                while self._ended < asked or commit in self._missed:
                    running = self._ended < self._began
                    left = min(asked, self._began if running else asked) + GLANCE - time.monotonic()
                    if left <= 0 or self._rests_until - time.monotonic() > LOOK_EVERY:
                        return False
                    if not self._sent:
                        threading.Thread(target=self._send, name="look", daemon=True).start()
                        self._sent = True
                    self._news.wait(left)
            finally:
                self._missed.pop(commit or "", None)
            return True

    def _send(self) -> None:
        """Look for readers, but not often."""
        try:
            time.sleep(max(0, self._rests_until - time.monotonic()))
            self.look(time.monotonic())
        except StoreError as error:
            log.info("what readers miss could not be looked for: %s", error)
        finally:
            with self._news:
                self._sent = False
                self._news.notify_all()

    def _follow(self) -> None:
        """Call with the turn held."""
        with self._news:
            missed = list(self._missed)[:MOST_MISSED]
            self._missed = dict.fromkeys(list(self._missed)[MOST_MISSED:])
            self._began = time.monotonic()
        try:
            self._mirror.follow(afresh=self._doubted, missed=missed)
            if self._doubted:
                self._doubted, self._cured = False, time.monotonic()
            self._failed, self._pause, self.listed = None, LOOK_EVERY, self._began
        except StoreError as error:
            self._failed = error
            self._pause = min(self._pause * 2, LONGEST_PAUSE)
            raise
        finally:
            with self._news:
                self._ended, self._rests_until = self._began, time.monotonic() + self._pause
                self._news.notify_all()

    def doubt(self) -> None:
        """Have the next look make the mirror anew; not again and again, for the remote itself may be broken."""
        if time.monotonic() - self._cured > CURE_EVERY:
            self._doubted = True
