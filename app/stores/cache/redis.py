"""The cache in a Redis or Valkey server, over TCP, TLS or a unix socket.

Keys, all below `ml-registry:3:` (a new layout gets a new number, and the old keys are left to expire or be evicted;
servers that kept theirs below 2 told nobody of what they moved, and who waits to be told must not meet them):

    tickets              hash   `last` ticket handed out; `first` of those handed out since the cache lost something
    pointers:<project>   hash   by field, `<ticket>=<checksum><value>`; `<ticket>-` where the pointer was forgotten
    manifest:<blob>      string expiring: a manifest
    lineage:<project>…   string expiring: the commit graph of a project, and what is known of its manifest's versions
    lease:<name>         string expiring: who does what `name` stands for

and two channels: `ml-registry:3:wake`, on which each message names who sent it, and `ml-registry:3:moved`, on which it
names the project of which pointers were stored.
"""

import asyncio
import hashlib
import math
import re
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any
from uuid import uuid4

from redis.asyncio import BlockingConnectionPool, Connection, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ResponseError

from app.stores.cache.batches import Batches
from app.stores.cache.breaker import AWAY, NONSENSE, Breaker, refused, senseless
from app.stores.cache.moves import Moves
from app.stores.errors import CacheUnavailableError
from app.stores.timings import Timings

PREFIX = "ml-registry:3:"
DERIVED_SECONDS = 30 * 24 * 3600
TICKET_SECONDS = 3600
LISTEN_SECONDS = 30.0
"""After this long without a word the channel is subscribed to anew: the connection may be dead and not know it."""
_Found = Mapping[tuple[str, str], bytes | CacheUnavailableError | None]
_STORED = re.compile(rb"(?P<ticket>[0-9]+)(?:-|=(?P<checksum>[0-9a-f]{16})(?P<value>.*))\Z", re.DOTALL)

# Tickets are microseconds of the server's clock, and always more than the last: they go on growing when the cache
# was emptied, or is an older copy of itself, and does not remember the last one that its client does. Then they begin
# anew: nothing that was stored before counts. A ticket far ahead of the clock was not handed out but damaged.
_TICKET = """
if redis.call('TYPE', KEYS[1]).ok ~= 'hash' then redis.call('DEL', KEYS[1]) end
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local known = redis.call('HMGET', KEYS[1], 'first', 'last')
local first, last, seen = tonumber(known[1]), tonumber(known[2]), tonumber(ARGV[1])
local latest = now + ARGV[2] * 1000000
if last and last > latest then last = nil end
if seen > latest then seen = 0 end
local lost = not first or not last or first > last or last < seen
now = math.max(now, (last or 0) + 1, seen + 1)
local text = string.format('%.0f', now)
if lost then redis.call('HSET', KEYS[1], 'first', text) end
redis.call('HSET', KEYS[1], 'last', text)
return {lost and text or known[1], text}
"""

# A ticket from before the cache was emptied could store what a later one, now lost, had replaced; one that is very
# old could bring back what was forgotten so long ago that the trace of it is gone. Both are left without effect:
# a pointer that is not there is asked of Git, a stale one would be believed. One that claims a ticket nobody was
# handed yet is damaged, and in nobody's way. Who remembers pointers is told to ask again in the same step; also where
# a ticket is without effect, since Git has moved all the same.
_MOVE = """
local function told(answer)
  redis.call('PUBLISH', ARGV[3], ARGV[4])
  return answer
end
local ticket = tonumber(ARGV[1])
local clock = redis.call('TIME')
local oldest = (clock[1] - tonumber(ARGV[2])) * 1000000
local known = redis.call('HMGET', KEYS[2], 'first', 'last')
local first, last = tonumber(known[1]), tonumber(known[2])
if not first or not last or ticket < first or ticket < oldest then return told(0) end
if redis.call('TYPE', KEYS[1]).ok ~= 'hash' then redis.call('DEL', KEYS[1]) end
local begin = 6 + 2 * tonumber(ARGV[5])
for i = 6, begin - 1, 2 do
  local stored = redis.call('HGET', KEYS[1], ARGV[i])
  if not stored or string.gsub(stored, '^%d+=', '', 1) ~= ARGV[i + 1] then return 0 end
end
local stores, forgotten = false, false
for i = begin, #ARGV, 2 do
  local stored = redis.call('HGET', KEYS[1], ARGV[i])
  local under = stored and tonumber(string.match(stored, '^%d+')) or 0
  if under <= ticket or under > last then
    redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
    stores = true
    forgotten = forgotten or ARGV[i + 1] == ARGV[1] .. '-'
  end
end
if forgotten then
  local all = redis.call('HGETALL', KEYS[1])
  for i = 1, #all, 2 do
    local trace = string.match(all[i + 1], '^(%d+)%-$')
    if trace and tonumber(trace) < oldest then redis.call('HDEL', KEYS[1], all[i]) end
  end
end
return stores and told(1) or 1
"""

# One that would never end, or not for longer than anybody asks for, was not written here.
_LEASE = """
local left = redis.call('PTTL', KEYS[1])
if left > 0 and left <= tonumber(ARGV[2]) and redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""


class RedisCache:
    """A Cache at `url`: `redis://`, `rediss://` or `unix://`.

    No call takes longer than `timeout` seconds: Git, which is asked instead, is not slower. After one that got no
    answer, calls fail at once for `pause` seconds; then one of them tries again.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: float = 0.25,
        pause: float = 1.0,
        connections: int = 32,
        timings: Timings | None = None,
    ) -> None:
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=connections,
            timeout=None,  # an exchange has a limit, and one more for each of its steps costs a third of all
            socket_timeout=None,
            socket_connect_timeout=timeout,
            retry=Retry(NoBackoff(), 0, supported_errors=()),  # or a subscription that failed would connect again
            protocol=2,
        )
        self._redis: Redis = Redis.from_pool(pool)
        self._take_ticket = self._redis.register_script(_TICKET)
        self._move = self._redis.register_script(_MOVE)
        self._lease = self._redis.register_script(_LEASE)
        self._timeout = timeout
        self._pause = pause
        self._breaker = Breaker(timeout, pause, timings or Timings())
        self._lookups = Batches(self._looked_up)
        self._moves = Moves(url, f"{PREFIX}moved", timeout=timeout, pause=pause)
        self._name = uuid4().hex.encode()
        self._first = self._last = 0

    async def ticket(self) -> int:
        """See Cache."""
        async with self._breaker.exchange("ticket"):
            first, last = await self._take_ticket(keys=[f"{PREFIX}tickets"], args=[self._last, TICKET_SECONDS])
            self._first, self._last = int(first), int(last)
            return self._last

    async def begun(self) -> int:
        """See Cache."""
        await self.ticket()
        return self._first

    async def move(
        self, project: str, ticket: int, pointers: Mapping[str, bytes | None], held: Mapping[str, bytes] | None = None
    ) -> bool:
        """See Cache. Without effect under a ticket older than an hour or than the last time the cache was emptied."""
        if not pointers:
            return True
        fields: list[str | bytes | int] = [f"{PREFIX}moved", project, len(held or {})]
        for field, known in (held or {}).items():
            fields += [field, _sealed(field, known)]
        for field, value in pointers.items():
            fields += [field, f"{ticket}-" if value is None else b"%d=%b" % (ticket, _sealed(field, value))]
        moved = True  # unless the server says that it did not
        try:
            async with self._breaker.exchange("move"):
                keys = [_pointers(project), f"{PREFIX}tickets"]
                moved = bool(await self._move(keys=keys, args=[ticket, TICKET_SECONDS, *fields]))
        finally:
            if moved:
                self._moves.moved(project)
        return moved

    async def pointers(self, project: str) -> Mapping[str, bytes]:
        """See Cache."""
        async with self._breaker.exchange():
            return self._values(await self._redis.hgetall(_pointers(project)))

    async def pointers_of(self, projects: Sequence[str]) -> Sequence[Mapping[str, bytes]]:
        """See Cache."""
        if not projects:
            return []
        async with self._breaker.exchange(), self._redis.pipeline(transaction=False) as pipeline:
            for project in projects:
                pipeline.hgetall(_pointers(project))
            return [self._values(stored) for stored in await pipeline.execute()]

    async def pointer(self, project: str, field: str) -> bytes | None:
        """See Cache. Those asked for while others are under way go out together after them."""
        found = await self._lookups.get((project, field))
        if isinstance(found, CacheUnavailableError):
            raise found
        return found

    def version(self, project: str) -> int | None:
        """See Cache. None for whoever asks first in a second, and while the server does not answer."""
        return self._moves.version(project)

    async def derived(self, names: Sequence[str]) -> Mapping[str, bytes]:
        """See Cache."""
        if not names:
            return {}
        async with self._breaker.exchange():
            values = await self._redis.mget([f"{PREFIX}{name}" for name in names])
            return {name: _bytes(value) for name, value in zip(names, values, strict=True) if value is not None}

    async def put_derived(self, values: Mapping[str, bytes]) -> None:
        """See Cache. They expire after 30 days, also where the server evicts nothing."""
        if not values:
            return
        async with self._breaker.exchange("store"), self._redis.pipeline(transaction=False) as pipeline:
            for name, value in values.items():
                pipeline.set(f"{PREFIX}{name}", value, ex=DERIVED_SECONDS)
            await pipeline.execute()

    async def lease(self, name: str, holder: str, seconds: float) -> bool:
        """See Cache. Everybody asks for a name with the same `seconds`."""
        async with self._breaker.exchange("lease"):
            return bool(await self._lease(keys=[f"{PREFIX}lease:{name}"], args=[holder, round(seconds * 1000)]))

    async def wake(self) -> None:
        """See Cache."""
        async with self._breaker.exchange("wake"):
            await self._redis.publish(f"{PREFIX}wake", self._name)

    async def wakes(self) -> AsyncGenerator[None, None]:
        """See Cache. Subscribes again, and says so, after a connection was lost or was quiet for LISTEN_SECONDS."""
        while True:
            with suppress(*AWAY, *NONSENSE):
                async with self._redis.pubsub() as channel:
                    async with asyncio.timeout(self._timeout):
                        await channel.subscribe(f"{PREFIX}wake")
                    while message := await channel.get_message(timeout=LISTEN_SECONDS):
                        if message["data"] != self._name:  # its own are the only ones to pass by
                            yield
                    continue
            await asyncio.sleep(self._pause)

    async def close(self) -> None:
        """See Cache."""
        await self._moves.close()
        await self._redis.aclose(close_connection_pool=True)

    async def _looked_up(self, wanted: Collection[tuple[str, str]]) -> _Found:
        """Pointers by project and field, in one round trip, each of them or what is wrong with it."""
        try:
            async with self._breaker.exchange(), self._connection() as connection:
                commands = [("HGET", _pointers(project), field) for project, field in wanted]
                await connection.send_packed_command(connection.pack_commands(commands))
                return {(project, field): await self._answered(connection, field) for project, field in wanted}
        except CacheUnavailableError as error:
            return dict.fromkeys(wanted, error)

    async def _answered(self, connection: Connection, field: str) -> bytes | CacheUnavailableError | None:
        try:
            return self._value(field, await connection.read_response(timeout=math.inf))
        except ResponseError as error:
            return refused(error)
        except NONSENSE as error:
            return senseless(error)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        """One of the pool's. It closes itself when it is left in the middle of sending or reading."""
        pool = self._redis.connection_pool
        connection: Connection = await pool.get_connection()  # type: ignore[no-untyped-call]
        try:
            yield connection
        finally:
            await pool.release(connection)

    def _values(self, stored: Any) -> dict[str, bytes]:
        """By field what was stored; nothing, but under its name, where that is damaged."""
        found: dict[str, bytes] = {}
        for key, text in stored.items():
            field = key.decode()
            try:
                value = self._value(field, text)
            except ValueError:
                value = b""
            if value is not None:
                found[field] = value
        return found

    def _value(self, field: str, stored: Any) -> bytes | None:
        """What was stored; None for what was forgotten, and for what is from before the cache lost something."""
        if stored is None:
            return None
        match = _STORED.match(_bytes(stored))
        if not match:
            raise ValueError("a pointer without its ticket")
        value = match["value"]
        if value is None or int(match["ticket"]) < self._first:
            return None
        if match["checksum"] != _checksum(field, value):
            raise ValueError("a damaged pointer")
        return value


def _pointers(project: str) -> str:
    return f"{PREFIX}pointers:{project}"


def _sealed(field: str, value: bytes) -> bytes:
    return _checksum(field, value) + value


def _checksum(field: str, value: bytes) -> bytes:
    return hashlib.blake2b(field.encode() + b"\0" + value, digest_size=8).hexdigest().encode()


def _bytes(value: Any) -> bytes:
    if not isinstance(value, bytes):
        raise TypeError(f"{type(value).__name__} instead of bytes")
    return value
