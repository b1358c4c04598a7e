"""Ask a differentially private database in SQL, and get error bars, a price and a receipt.

import undertone

with undertone.connect(dataset="shop", purpose="service-quality") as shop:
    print(shop.quote("SELECT COUNT(*) AS n FROM orders", epsilon="0.1"))
    print(shop.query("SELECT COUNT(*) AS n FROM orders", epsilon="0.1"))
"""

from importlib.metadata import version as _version

from ._parameters import Parameter
from .accuracy import Accuracy
from .answer import Answer
from .audit import Head, LogEntry
from .budget import Accounts, AccountState, Balance, Guarantee, SharedAccount
from .catalog import Column, Dataset, Table
from .client import Client, connect
from .errors import (
    AuthError,
    BudgetError,
    ExpiredError,
    FrozenError,
    NotPermittedError,
    PolicyChangedError,
    Position,
    RefusedError,
    UndertoneError,
)
from .governance import Governance, govern
from .plan import Step
from .policy import (
    AccountChange,
    Edit,
    Effect,
    Holder,
    MoreBudget,
    Move,
    NewPolicy,
    Policy,
    PolicyVersion,
    Revoke,
    Simulation,
    Terms,
)
from .pricing import (
    ChosenBound,
    NoisyColumn,
    NoisyNumber,
    Price,
    Quote,
    Receipt,
    ReleaseKey,
    ReleaseNote,
)
from .progress import ProgressLine
from .proposals import Opinion, Proposal

__version__ = _version("undertone")

__all__ = [
    "AccountChange",
    "AccountState",
    "Accounts",
    "Accuracy",
    "Answer",
    "AuthError",
    "Balance",
    "BudgetError",
    "ChosenBound",
    "Client",
    "Column",
    "Dataset",
    "Edit",
    "Effect",
    "ExpiredError",
    "FrozenError",
    "Governance",
    "Guarantee",
    "Head",
    "Holder",
    "LogEntry",
    "MoreBudget",
    "Move",
    "NewPolicy",
    "NoisyColumn",
    "NoisyNumber",
    "NotPermittedError",
    "Opinion",
    "Parameter",
    "Policy",
    "PolicyChangedError",
    "PolicyVersion",
    "Position",
    "Price",
    "ProgressLine",
    "Proposal",
    "Quote",
    "Receipt",
    "RefusedError",
    "ReleaseKey",
    "ReleaseNote",
    "Revoke",
    "SharedAccount",
    "Simulation",
    "Step",
    "Table",
    "Terms",
    "UndertoneError",
    "__version__",
    "connect",
    "govern",
]
