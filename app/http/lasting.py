"""Which answers may be kept: those that follow from what Git holds, from the document and from its variables alone.

Everything else is of the moment, or nobody else's business: who asks, a clock, a presigned request, what the store
has, how far the registry has come. A revision may be a tag, which moves while every branch stays: whoever keeps an
answer has to hold it to all the refs it was read at.
"""

from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    GraphQLSchema,
    NamedTypeNode,
    ObjectFieldNode,
    TypeInfo,
    TypeInfoVisitor,
    Visitor,
    visit,
)

_FIELDS = {
    "Actor": "email name",
    "Artifact": "commit dataObjectId description entry history id labels lastChange metadata name object project type",
    "ArtifactConnection": "edges nodes pageInfo totalCount",
    "ArtifactEdge": "cursor node",
    "Branch": "artifact artifacts head history id isDefault manifest name project",
    "BranchConnection": "edges nodes pageInfo totalCount",
    "BranchEdge": "cursor node",
    "Change": "after before commit fields kind name",
    "ChangeConnection": "edges nodes pageInfo",
    "ChangeEdge": "cursor node",
    "Commit": (
        "abbreviatedOid artifact artifacts author changes committer headline id manifest message oid parents project"
    ),
    "CommitConnection": "edges nodes pageInfo",
    "CommitEdge": "cursor node",
    "Comparison": "base changes head",
    "DataObject": "artifacts id object",
    "FieldChange": "after before path",
    "Label": "key value",
    "Limits": (
        "bodySeconds callerSockets commitChanges connections errors fileSize headSeconds headSize idleSeconds "
        "inputValues mutationsAtOnce mutationsPerSecond operationSeconds pageSize presignsAtOnce "
        "presignsPerSecond queryAliases queryCost queryDepth queryDirectives queryFields queryLength "
        "queryRootFields queryTokens requestSize socketOperations sockets waitingWriters"
    ),
    "Manifest": "problems servedCommit state",
    "ManifestProblem": "artifact code column line message",
    "Node": "id",
    "PageInfo": "endCursor hasNextPage hasPreviousPage startCursor",
    "Project": "branch branches commit comparison defaultBranch description id manifestPath name remoteUrl",
    "ProjectConnection": "edges nodes pageInfo totalCount",
    "ProjectEdge": "cursor node",
    "Query": "artifact artifacts dataObject node project projects registry",
    "Registry": "limits version",
    "Signature": "at email name",
    "StoredObject": "contentType digest filename size",
}
LASTING = frozenset(f"{name}.{field}" for name, fields in _FIELDS.items() for field in fields.split())
"""The fields, by their schema coordinates, whose values last. A field that is not listed does not."""
FILTER, STATE = "ArtifactFilter", "objectState"
"""The one condition that asks the store: a filter that comes as a variable may have it."""


def lasting(schema: GraphQLSchema, document: DocumentNode) -> bool:
    """Whether the answers to every operation of a valid document last."""
    types = TypeInfo(schema)
    judge = _Judge(types)
    visit(document, TypeInfoVisitor(types, judge))
    return judge.lasts


class _Judge(Visitor):
    """Looks at every field of a document, fragments included, and at what its arguments may say."""

    def __init__(self, types: TypeInfo) -> None:
        super().__init__()
        self._types = types
        self.lasts = True

    def enter_field(self, node: FieldNode, *_: Any) -> None:
        parent, name = self._types.get_parent_type(), node.name.value
        described = name.startswith("__") or (parent is not None and parent.name.startswith("__"))
        self._find(lasts=described or f"{parent}.{name}" in LASTING)

    def enter_named_type(self, node: NamedTypeNode, *_: Any) -> None:
        self._find(lasts=node.name.value != FILTER)

    def enter_object_field(self, node: ObjectFieldNode, *_: Any) -> None:
        self._find(lasts=node.name.value != STATE)

    def _find(self, *, lasts: bool) -> None:
        self.lasts = self.lasts and lasts
