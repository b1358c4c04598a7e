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
from .budget import AccountState, Balance
from .catalog import Column, Dataset, Table
from .client import Client, connect
from .errors import AuthError, BudgetError, FrozenError, Position, RefusedError, UndertoneError
from .plan import Step
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

__version__ = _version("undertone")

__all__ = [
    "AccountState",
    "Accuracy",
    "Answer",
    "AuthError",
    "Balance",
    "BudgetError",
    "ChosenBound",
    "Client",
    "Column",
    "Dataset",
    "FrozenError",
    "NoisyColumn",
    "NoisyNumber",
    "Parameter",
    "Position",
    "Price",
    "ProgressLine",
    "Quote",
    "Receipt",
    "RefusedError",
    "ReleaseKey",
    "ReleaseNote",
    "Step",
    "Table",
    "UndertoneError",
    "__version__",
    "connect",
]
