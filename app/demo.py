"""The project a first start shows: two datasets, as real commits on two branches."""

from app.registry.artifacts import ChangeRequest, PatchRequest, PendingPolicy, PutRequest, WriteRequest
from app.registry.model import Actor, Project
from app.registry.registry import Registry

PROJECT = "demo"
STAGING = "staging"


async def create(registry: Registry, actor: Actor) -> None:
    """Make the demo project. Raises RegistryError when there is one already."""
    made = await registry.create_project(Project(PROJECT, "Two datasets to try things on"), "main", actor)
    await _commit(registry, made, "main", actor, _dataset("topic-training-data", "123"))
    await _commit(registry, made, "main", actor, _dataset("classification-output", "456"))
    await registry.branching.create(made, STAGING, "main")
    checked = PatchRequest("classification-output", {"description": "Checked by hand before it goes to main"}, None)
    await _commit(registry, made, STAGING, actor, checked)


def _dataset(name: str, data_object_id: str) -> ChangeRequest:
    config = {"type": "tsv", "hasHeader": True}
    return PutRequest(name, data_object_id, "dataset", None, None, {"config": config}, None)


async def _commit(registry: Registry, project: Project, branch: str, actor: Actor, change: ChangeRequest) -> None:
    request = WriteRequest(project.name, branch, message=None, base=None, key=None)
    await registry.artifacts.commit(project, request, [change], actor, PendingPolicy.ALLOW)
