"""The policy in force: read from the catalogue whenever its branch moved, asked before anything is shown or done."""

import logging
from threading import Lock

from app.registry.access.file import read_policy
from app.registry.access.identity import Identity, Role
from app.registry.access.page import LIMITS, PATH, PolicyError
from app.registry.access.policy import ANYONE, EVERYTHING, Globs, Grant, Policy
from app.registry.catalogue import BRANCH
from app.registry.names import MAX_NAME
from app.registry.offload import Offload
from app.stores.errors import BlobTooLargeError
from app.stores.ports import Repository, TreeFile

REMEMBERED = 10_000
"""Roles that are remembered, none for a name too long for a project; each is found anew in microseconds."""
OPEN = Policy(grants=(Grant(frozenset({ANYONE}), Role.ADMIN, Globs([EVERYTHING])),))
"""What holds while nobody has to sign in."""
MISSING = "There is no access.yml yet. Make the first token: ml-registry token create NAME --role admin"
log = logging.getLogger("ml_registry.access")


class Access:
    """Who may do what, as `access.yml` of the catalogue has it.

    A file that is broken or gone leaves the last good policy in force; before there was one, nobody may do anything.
    Unless sign-in is `required`, everybody may do everything until the file is there.
    """

    def __init__(self, repository: Repository, offload: Offload, *, required: bool) -> None:
        self._repository = repository
        self._offload = offload
        self._reading = Lock()  # an older reading must not replace a newer one
        self._head: str | None = None
        self._file: TreeFile | None = None
        self._roles: dict[tuple[Identity, str], Role] = {}
        self.required = required
        """Whether callers have to sign in. Once they have to, they do until the server ends."""
        self.policy = Policy() if required else OPEN
        self.version = 0
        """How many policies there were: while it is the same number, everybody may do the same."""
        self.problem: str | None = MISSING if required else None
        """Why the file as it is now is not in force."""

    def role(self, who: Identity, project: str) -> Role:
        """What somebody may do with a project, whether it exists or not."""
        if self.policy is OPEN:
            return Role.ADMIN
        roles = self._roles
        role = roles.get((who, project))
        if role is None:
            role = self.policy.role(who, project)
            if len(roles) >= REMEMBERED:
                roles.clear()
            if len(project) <= MAX_NAME:
                roles[who, project] = role
        return role

    def refusal(self, who: Identity, project: str, branch: str, *, by_git: bool = False) -> str | None:
        """Why somebody who may write to a project may not move this branch of it, through the API or by a push."""
        protection = self.policy.protection(project, branch)
        if protection is None:
            return None
        if protection.closed and not by_git:
            return f"{branch} of {project} takes no changes through the API; propose them to its maintainers with git."
        role = self.role(who, project)
        if role < Role.MAINTAINER:
            return f"{branch} of {project} is protected: it takes the role {Role.MAINTAINER}; yours is {role}."
        return None

    async def refresh(self) -> None:
        """Read the file if the catalogue's branch has moved."""
        await self._offload(self._refresh)

    def _refresh(self) -> None:
        with self._reading:
            head = self._repository.head(BRANCH)
            if head is None or head == self._head:
                return
            file = self._repository.file(head, PATH)
            if file != self._file:
                self._read(file)
            self._head, self._file = head, file

    def _read(self, file: TreeFile | None) -> None:
        """Put the policy of a file in force, if it is a good one."""
        if file is None:
            self._refuse("It was deleted; put it back.")
            return
        if file.kind != "file":
            self._refuse(f"It is a {file.kind}, which is never followed; commit it as a regular file.")
            return
        try:
            policy = read_policy(self._repository.blob(file.oid, LIMITS.bytes))
        except PolicyError as error:
            self._refuse(str(error))
        except BlobTooLargeError as error:
            self._refuse(f"It has {error.size} bytes; at most {LIMITS.bytes} are read.")
        else:
            self.problem = None
            self._enforce(policy)
            log.info("%s is in force: %d tokens, %d grants", PATH, len(policy.tokens), len(policy.grants))

    def _refuse(self, problem: str) -> None:
        self.problem = problem
        if not self.required:
            self._enforce(Policy())
        log.error("%s is not in force, and what was before is: %s", PATH, problem)

    def _enforce(self, policy: Policy) -> None:
        self.required = True
        self.policy = policy
        self._roles = {}  # another one, for those that are in use have roles of the policy before
        self.version += 1
