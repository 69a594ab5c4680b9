"""The published tables: services, status codes, business types, message kinds, hours."""

from msh.catalog.constants import Service, Status
from msh.catalog.location import STANDARD, schemas_folder
from msh.catalog.soundness import KEY_CHANGE
from msh.catalog.status import Meaning, StatusCode
from msh.catalog.tables import (
    TABLES,
    BusinessTypeRow,
    Catalog,
    FundingRow,
    HoursRow,
    MessageKindRow,
    ServiceRow,
    StatusRow,
    load,
)

__all__ = [
    "KEY_CHANGE",
    "STANDARD",
    "TABLES",
    "BusinessTypeRow",
    "Catalog",
    "FundingRow",
    "HoursRow",
    "Meaning",
    "MessageKindRow",
    "Service",
    "ServiceRow",
    "Status",
    "StatusCode",
    "StatusRow",
    "load",
    "schemas_folder",
]
