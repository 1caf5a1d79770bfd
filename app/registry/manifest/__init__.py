"""`artifacts.yml`: reading it without trust, and editing it without touching what others wrote."""

from app.registry.manifest.interpret import entry_from as entry_from
from app.registry.manifest.model import DEFAULT_LIMITS as DEFAULT_LIMITS
from app.registry.manifest.model import JSON as JSON
from app.registry.manifest.model import Code as Code
from app.registry.manifest.model import EditRefusedError as EditRefusedError
from app.registry.manifest.model import Entry as Entry
from app.registry.manifest.model import InvalidEntryError as InvalidEntryError
from app.registry.manifest.model import Label as Label
from app.registry.manifest.model import Limits as Limits
from app.registry.manifest.model import Manifest as Manifest
from app.registry.manifest.model import ManifestRefusedError as ManifestRefusedError
from app.registry.manifest.model import ObjectPin as ObjectPin
from app.registry.manifest.model import Problem as Problem
from app.registry.manifest.reader import Document as Document
from app.registry.manifest.reader import parse as parse
from app.registry.manifest.reader import read as read
from app.registry.manifest.stored import from_json as from_json
from app.registry.manifest.stored import to_json as to_json
from app.registry.manifest.writer import Edit as Edit
from app.registry.manifest.writer import Put as Put
from app.registry.manifest.writer import Remove as Remove
from app.registry.manifest.writer import Rename as Rename
from app.registry.manifest.writer import Restore as Restore
from app.registry.manifest.writer import edit as edit
from app.registry.manifest.writer import revise as revise
