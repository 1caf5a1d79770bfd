"""The questions as documents. `$first` is the size of a page; where pages lie in pages, the inner ones are small."""

from dataclasses import dataclass
from typing import Any

PAGED = "($first: Int!, $after: String"
TURN = "first: $first, after: $after"
PAGE_INFO = "pageInfo { hasNextPage endCursor }"

COMMIT = "oid abbreviatedOid headline message author { name email at } parents"
CHANGE = "kind name fields { path before after }"
CHANGES = f"nodes {{ {CHANGE} }} {PAGE_INFO}"
LOGGED_COMMIT = f"{COMMIT} changes(first: 20) @include(if: $changes) {{ {CHANGES} }}"
MANIFEST = "manifest { state problems { message line } }"
ARTIFACT = """name type dataObjectId description labels { key value } metadata
  object { digest size contentType filename state }"""

PROJECTS = f"""query Projects{PAGED}) {{ projects({TURN}) {{
  nodes {{
    name description branches(first: 1) {{ totalCount }}
    defaultBranch {{ name artifacts(first: 1) {{ totalCount }} }} }}
  {PAGE_INFO} }} }}"""

BRANCHES = f"""query Branches{PAGED}, $project: String!) {{ project(name: $project) {{ branches({TURN}) {{
  nodes {{ name isDefault head {{ {COMMIT} }} {MANIFEST} }} {PAGE_INFO} }} }} }}"""

WHOLE_ARTIFACT = f"""query Artifact($project: String!, $name: String!, $branch: String, $at: GitRevision) {{
  artifact(project: $project, name: $name, branch: $branch, at: $at) {{
    {ARTIFACT} commit {{ {COMMIT} }} lastChange {{ kind commit {{ {COMMIT} }} }} }} }}"""

ARTIFACT_HISTORY = f"""query ArtifactHistory{PAGED},
  $project: String!, $name: String!, $branch: String, $at: GitRevision) {{
  artifact(project: $project, name: $name, branch: $branch, at: $at) {{
    history({TURN}) {{ nodes {{ {CHANGE} commit {{ {COMMIT} }} }} {PAGE_INFO} }} }} }}"""

COMPARISON = f"""query Comparison{PAGED}, $project: String!, $base: GitRevision!, $head: GitRevision!) {{
  project(name: $project) {{
    base: commit(at: $base) {{ oid }}
    head: commit(at: $head) {{ oid }}
    comparison(base: $base, head: $head) {{
      base {{ {COMMIT} }} head {{ {COMMIT} }} changes({TURN}) {{ {CHANGES} }} }} }} }}"""

EVENT_CURSOR = "query EventCursor { registry { eventCursor } }"

EVENTS = f"""subscription Events($filter: EventFilter, $after: String) {{ events(filter: $filter, after: $after) {{
  cursor node {{
    id kind projectName branchName commit sequence occurredAt actor {{ name email }}
    ... on ArtifactEvent {{ artifactName change {{ {CHANGE} before {{ entry }} after {{ entry }} }} }}
    ... on BranchEvent {{ previousHead }}
    ... on ManifestEvent {{ problems {{ message line }} }} }} }} }}"""

ARTIFACTS = f"artifacts({TURN}, filter: $filter) {{ nodes {{ {ARTIFACT} }} {PAGE_INFO} }}"
HISTORY = f"history({TURN}) {{ nodes {{ {LOGGED_COMMIT} }} {PAGE_INFO} }}"
COMMIT_CHANGES = f"changes({TURN}) {{ {CHANGES} }}"


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a project to read: at a revision, on a branch, or on the default branch when neither is named."""

    project: str
    branch: str | None = None
    at: str | None = None

    @property
    def variables(self) -> dict[str, Any]:
        """The place as the variables of a query."""
        named = {"project": self.project, "branch": self.branch, "at": self.at}
        return {name: value for name, value in named.items() if value is not None}

    def document(self, selection: str, *declared: str) -> str:
        """A query of a selection, whose variables are `declared`, at the place; the answer calls it `place`."""
        if self.at is not None:
            variable, field = ["$at: GitRevision!"], "commit(at: $at)"
        elif self.branch is not None:
            variable, field = ["$branch: String!"], "branch(name: $branch)"
        else:
            variable, field = [], "defaultBranch"
        variables = ", ".join(("$project: String!", *variable, *declared))
        return f"query Place({variables}) {{ project(name: $project) {{ place: {field} {{ {selection} }} }} }}"

    def __str__(self) -> str:
        if self.at is not None:
            return f"{self.project} at {self.at}"
        return f"the branch {self.branch} of {self.project}" if self.branch else self.project
