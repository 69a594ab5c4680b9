"""The store's contract suite.

To run it on a store of your own::

    class TestMyStore(StoreContract):
        durable = True
        shared = False

        @pytest.fixture
        async def store(self, notified): ...

        @pytest.fixture
        def reopen(self, store): ...

The fixtures: ``store`` is an empty store, opened with the fixture ``notified`` (given here).
With ``durable``, ``reopen`` is an async function that closes or kills that store, opens the same
data again and returns the new one. With ``shared``, ``second`` is a second store on the same
data. The tests are plain ``async def``; they want pytest-asyncio in its auto mode.
"""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from msh.testing.contracts.samples import Notified
from msh.testing.contracts.store_again import AskedContract, RepeatContract, RerunContract
from msh.testing.contracts.store_answers import AnswerContract, FormContract
from msh.testing.contracts.store_attempts import AttemptContract, DueContract, HoldContract
from msh.testing.contracts.store_batches import BatchContract
from msh.testing.contracts.store_claims import ClaimContract, ParkedContract, TakeOverContract
from msh.testing.contracts.store_inbound import ReceiveContract
from msh.testing.contracts.store_kept import CloseContract, DurableContract, SharedContract
from msh.testing.contracts.store_keys import (
    ActivateContract,
    ForgetContract,
    OfferContract,
    RetireContract,
)
from msh.testing.contracts.store_outcomes import (
    InquiryContract,
    ReferringContract,
    ResultContract,
    SettleContract,
    TieContract,
)
from msh.testing.contracts.store_purge import PurgeContract
from msh.testing.contracts.store_queue import EnqueueContract
from msh.testing.contracts.store_reading import JournalContract, ReadingContract
from msh.testing.contracts.store_references import ReferenceContract, SharedReferenceContract
from msh.testing.contracts.store_replies import (
    GiveUpContract,
    ReplyContract,
    ResendContract,
)
from msh.testing.contracts.store_suspension import SuspensionContract


class StoreContract(
    ReceiveContract,
    ClaimContract,
    TakeOverContract,
    ParkedContract,
    AnswerContract,
    FormContract,
    EnqueueContract,
    BatchContract,
    DueContract,
    AttemptContract,
    HoldContract,
    ReplyContract,
    GiveUpContract,
    ResultContract,
    ResendContract,
    TieContract,
    InquiryContract,
    SettleContract,
    ReferringContract,
    RerunContract,
    AskedContract,
    RepeatContract,
    OfferContract,
    ActivateContract,
    RetireContract,
    ForgetContract,
    SuspensionContract,
    ReferenceContract,
    ReadingContract,
    JournalContract,
    PurgeContract,
    CloseContract,
    DurableContract,
    SharedContract,
    SharedReferenceContract,
):
    """Every sentence of `msh.store.Store`, as tests."""

    #: Whether what was written outlives the process (then the fixture ``reopen`` is needed).
    durable: ClassVar[bool] = False
    #: Whether several stores can work on the same data (then ``second`` is needed).
    shared: ClassVar[bool] = False

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for declared, suite in (
            (cls.durable, DurableContract),
            (cls.shared, SharedContract),
            (cls.shared, SharedReferenceContract),
        ):
            if not declared:
                for name in vars(suite):
                    if name.startswith("test_"):
                        setattr(cls, name, None)  # not a test of this store

    @pytest.fixture
    def notified(self) -> Notified:
        """What the store is to be opened with."""
        return Notified()
