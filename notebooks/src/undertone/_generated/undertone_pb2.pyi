from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Mechanism(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MECHANISM_UNSPECIFIED: _ClassVar[Mechanism]
    MECHANISM_LAPLACE: _ClassVar[Mechanism]
    MECHANISM_GAUSSIAN: _ClassVar[Mechanism]
    MECHANISM_AUTOMATIC: _ClassVar[Mechanism]

class Visibility(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    VISIBILITY_UNSPECIFIED: _ClassVar[Visibility]
    VISIBILITY_PRIVATE: _ClassVar[Visibility]
    VISIBILITY_RELEASE: _ClassVar[Visibility]
    VISIBILITY_PUBLIC: _ClassVar[Visibility]
    VISIBILITY_POST_PROCESSING: _ClassVar[Visibility]
MECHANISM_UNSPECIFIED: Mechanism
MECHANISM_LAPLACE: Mechanism
MECHANISM_GAUSSIAN: Mechanism
MECHANISM_AUTOMATIC: Mechanism
VISIBILITY_UNSPECIFIED: Visibility
VISIBILITY_PRIVATE: Visibility
VISIBILITY_RELEASE: Visibility
VISIBILITY_PUBLIC: Visibility
VISIBILITY_POST_PROCESSING: Visibility

class Question(_message.Message):
    __slots__ = ("dataset", "sql", "purpose", "epsilon", "max_groups_contributed", "max_rows_contributed", "mechanism", "delta", "parameters", "accuracy", "non_negative", "consistent")
    DATASET_FIELD_NUMBER: _ClassVar[int]
    SQL_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    EPSILON_FIELD_NUMBER: _ClassVar[int]
    MAX_GROUPS_CONTRIBUTED_FIELD_NUMBER: _ClassVar[int]
    MAX_ROWS_CONTRIBUTED_FIELD_NUMBER: _ClassVar[int]
    MECHANISM_FIELD_NUMBER: _ClassVar[int]
    DELTA_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    ACCURACY_FIELD_NUMBER: _ClassVar[int]
    NON_NEGATIVE_FIELD_NUMBER: _ClassVar[int]
    CONSISTENT_FIELD_NUMBER: _ClassVar[int]
    dataset: str
    sql: str
    purpose: str
    epsilon: str
    max_groups_contributed: int
    max_rows_contributed: int
    mechanism: Mechanism
    delta: str
    parameters: _containers.RepeatedCompositeFieldContainer[Parameter]
    accuracy: Accuracy
    non_negative: bool
    consistent: bool
    def __init__(self, dataset: _Optional[str] = ..., sql: _Optional[str] = ..., purpose: _Optional[str] = ..., epsilon: _Optional[str] = ..., max_groups_contributed: _Optional[int] = ..., max_rows_contributed: _Optional[int] = ..., mechanism: _Optional[_Union[Mechanism, str]] = ..., delta: _Optional[str] = ..., parameters: _Optional[_Iterable[_Union[Parameter, _Mapping]]] = ..., accuracy: _Optional[_Union[Accuracy, _Mapping]] = ..., non_negative: bool = ..., consistent: bool = ...) -> None: ...

class Accuracy(_message.Message):
    __slots__ = ("error", "relative_error", "magnitude", "confidence")
    ERROR_FIELD_NUMBER: _ClassVar[int]
    RELATIVE_ERROR_FIELD_NUMBER: _ClassVar[int]
    MAGNITUDE_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    error: float
    relative_error: float
    magnitude: float
    confidence: float
    def __init__(self, error: _Optional[float] = ..., relative_error: _Optional[float] = ..., magnitude: _Optional[float] = ..., confidence: _Optional[float] = ...) -> None: ...

class Parameter(_message.Message):
    __slots__ = ("null", "boolean", "whole", "number", "text", "date", "timestamp")
    NULL_FIELD_NUMBER: _ClassVar[int]
    BOOLEAN_FIELD_NUMBER: _ClassVar[int]
    WHOLE_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    DATE_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    null: bool
    boolean: bool
    whole: int
    number: float
    text: str
    date: str
    timestamp: str
    def __init__(self, null: bool = ..., boolean: bool = ..., whole: _Optional[int] = ..., number: _Optional[float] = ..., text: _Optional[str] = ..., date: _Optional[str] = ..., timestamp: _Optional[str] = ...) -> None: ...

class Price(_message.Message):
    __slots__ = ("epsilon", "rho", "delta", "odds_factor", "part_of_grant")
    EPSILON_FIELD_NUMBER: _ClassVar[int]
    RHO_FIELD_NUMBER: _ClassVar[int]
    DELTA_FIELD_NUMBER: _ClassVar[int]
    ODDS_FACTOR_FIELD_NUMBER: _ClassVar[int]
    PART_OF_GRANT_FIELD_NUMBER: _ClassVar[int]
    epsilon: str
    rho: str
    delta: str
    odds_factor: float
    part_of_grant: float
    def __init__(self, epsilon: _Optional[str] = ..., rho: _Optional[str] = ..., delta: _Optional[str] = ..., odds_factor: _Optional[float] = ..., part_of_grant: _Optional[float] = ...) -> None: ...

class NoisyColumn(_message.Message):
    __slots__ = ("name", "mechanism", "noise_scale", "half_width", "has_interval", "bounds", "simultaneous")
    NAME_FIELD_NUMBER: _ClassVar[int]
    MECHANISM_FIELD_NUMBER: _ClassVar[int]
    NOISE_SCALE_FIELD_NUMBER: _ClassVar[int]
    HALF_WIDTH_FIELD_NUMBER: _ClassVar[int]
    HAS_INTERVAL_FIELD_NUMBER: _ClassVar[int]
    BOUNDS_FIELD_NUMBER: _ClassVar[int]
    SIMULTANEOUS_FIELD_NUMBER: _ClassVar[int]
    name: str
    mechanism: str
    noise_scale: float
    half_width: float
    has_interval: bool
    bounds: str
    simultaneous: bool
    def __init__(self, name: _Optional[str] = ..., mechanism: _Optional[str] = ..., noise_scale: _Optional[float] = ..., half_width: _Optional[float] = ..., has_interval: bool = ..., bounds: _Optional[str] = ..., simultaneous: bool = ...) -> None: ...

class ReleaseNote(_message.Message):
    __slots__ = ("max_groups_contributed", "max_rows_contributed", "keys", "groups", "price", "threshold", "key_columns", "numbers", "summary", "max_rows_in_all_groups", "choice", "chosen")
    MAX_GROUPS_CONTRIBUTED_FIELD_NUMBER: _ClassVar[int]
    MAX_ROWS_CONTRIBUTED_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    PRICE_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    KEY_COLUMNS_FIELD_NUMBER: _ClassVar[int]
    NUMBERS_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    MAX_ROWS_IN_ALL_GROUPS_FIELD_NUMBER: _ClassVar[int]
    CHOICE_FIELD_NUMBER: _ClassVar[int]
    CHOSEN_FIELD_NUMBER: _ClassVar[int]
    max_groups_contributed: int
    max_rows_contributed: int
    keys: str
    groups: int
    price: Price
    threshold: int
    key_columns: _containers.RepeatedCompositeFieldContainer[ReleaseKey]
    numbers: _containers.RepeatedCompositeFieldContainer[NoisyNumber]
    summary: str
    max_rows_in_all_groups: int
    choice: str
    chosen: _containers.RepeatedCompositeFieldContainer[ChosenBound]
    def __init__(self, max_groups_contributed: _Optional[int] = ..., max_rows_contributed: _Optional[int] = ..., keys: _Optional[str] = ..., groups: _Optional[int] = ..., price: _Optional[_Union[Price, _Mapping]] = ..., threshold: _Optional[int] = ..., key_columns: _Optional[_Iterable[_Union[ReleaseKey, _Mapping]]] = ..., numbers: _Optional[_Iterable[_Union[NoisyNumber, _Mapping]]] = ..., summary: _Optional[str] = ..., max_rows_in_all_groups: _Optional[int] = ..., choice: _Optional[str] = ..., chosen: _Optional[_Iterable[_Union[ChosenBound, _Mapping]]] = ...) -> None: ...

class ChosenBound(_message.Message):
    __slots__ = ("what", "lower", "upper", "cut_off", "known", "price", "found_by_governance")
    WHAT_FIELD_NUMBER: _ClassVar[int]
    LOWER_FIELD_NUMBER: _ClassVar[int]
    UPPER_FIELD_NUMBER: _ClassVar[int]
    CUT_OFF_FIELD_NUMBER: _ClassVar[int]
    KNOWN_FIELD_NUMBER: _ClassVar[int]
    PRICE_FIELD_NUMBER: _ClassVar[int]
    FOUND_BY_GOVERNANCE_FIELD_NUMBER: _ClassVar[int]
    what: str
    lower: float
    upper: float
    cut_off: float
    known: bool
    price: Price
    found_by_governance: bool
    def __init__(self, what: _Optional[str] = ..., lower: _Optional[float] = ..., upper: _Optional[float] = ..., cut_off: _Optional[float] = ..., known: bool = ..., price: _Optional[_Union[Price, _Mapping]] = ..., found_by_governance: bool = ...) -> None: ...

class ReleaseKey(_message.Message):
    __slots__ = ("expression", "public", "values")
    EXPRESSION_FIELD_NUMBER: _ClassVar[int]
    PUBLIC_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    expression: str
    public: bool
    values: int
    def __init__(self, expression: _Optional[str] = ..., public: bool = ..., values: _Optional[int] = ...) -> None: ...

class NoisyNumber(_message.Message):
    __slots__ = ("quantity", "mechanism", "noise_scale", "half_width", "lower", "upper", "share", "draws")
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    MECHANISM_FIELD_NUMBER: _ClassVar[int]
    NOISE_SCALE_FIELD_NUMBER: _ClassVar[int]
    HALF_WIDTH_FIELD_NUMBER: _ClassVar[int]
    LOWER_FIELD_NUMBER: _ClassVar[int]
    UPPER_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    DRAWS_FIELD_NUMBER: _ClassVar[int]
    quantity: str
    mechanism: str
    noise_scale: float
    half_width: float
    lower: float
    upper: float
    share: float
    draws: int
    def __init__(self, quantity: _Optional[str] = ..., mechanism: _Optional[str] = ..., noise_scale: _Optional[float] = ..., half_width: _Optional[float] = ..., lower: _Optional[float] = ..., upper: _Optional[float] = ..., share: _Optional[float] = ..., draws: _Optional[int] = ...) -> None: ...

class Step(_message.Message):
    __slots__ = ("visibility", "text", "inputs", "release")
    VISIBILITY_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    visibility: Visibility
    text: str
    inputs: _containers.RepeatedCompositeFieldContainer[Step]
    release: int
    def __init__(self, visibility: _Optional[_Union[Visibility, str]] = ..., text: _Optional[str] = ..., inputs: _Optional[_Iterable[_Union[Step, _Mapping]]] = ..., release: _Optional[int] = ...) -> None: ...

class QuoteRequest(_message.Message):
    __slots__ = ("question",)
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    question: Question
    def __init__(self, question: _Optional[_Union[Question, _Mapping]] = ...) -> None: ...

class QuoteResponse(_message.Message):
    __slots__ = ("price", "columns", "releases", "confidence", "balance", "affordable", "plan", "question_digest", "advice", "answered")
    PRICE_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    RELEASES_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    BALANCE_FIELD_NUMBER: _ClassVar[int]
    AFFORDABLE_FIELD_NUMBER: _ClassVar[int]
    PLAN_FIELD_NUMBER: _ClassVar[int]
    QUESTION_DIGEST_FIELD_NUMBER: _ClassVar[int]
    ADVICE_FIELD_NUMBER: _ClassVar[int]
    ANSWERED_FIELD_NUMBER: _ClassVar[int]
    price: Price
    columns: _containers.RepeatedCompositeFieldContainer[NoisyColumn]
    releases: _containers.RepeatedCompositeFieldContainer[ReleaseNote]
    confidence: float
    balance: Balance
    affordable: bool
    plan: Step
    question_digest: str
    advice: str
    answered: bool
    def __init__(self, price: _Optional[_Union[Price, _Mapping]] = ..., columns: _Optional[_Iterable[_Union[NoisyColumn, _Mapping]]] = ..., releases: _Optional[_Iterable[_Union[ReleaseNote, _Mapping]]] = ..., confidence: _Optional[float] = ..., balance: _Optional[_Union[Balance, _Mapping]] = ..., affordable: bool = ..., plan: _Optional[_Union[Step, _Mapping]] = ..., question_digest: _Optional[str] = ..., advice: _Optional[str] = ..., answered: bool = ...) -> None: ...

class ExecuteRequest(_message.Message):
    __slots__ = ("question", "query_id", "fresh")
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    QUERY_ID_FIELD_NUMBER: _ClassVar[int]
    FRESH_FIELD_NUMBER: _ClassVar[int]
    question: Question
    query_id: str
    fresh: bool
    def __init__(self, question: _Optional[_Union[Question, _Mapping]] = ..., query_id: _Optional[str] = ..., fresh: bool = ...) -> None: ...

class ExecuteResponse(_message.Message):
    __slots__ = ("progress", "answer")
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    progress: Progress
    answer: Answer
    def __init__(self, progress: _Optional[_Union[Progress, _Mapping]] = ..., answer: _Optional[_Union[Answer, _Mapping]] = ...) -> None: ...

class Refinement(_message.Message):
    __slots__ = ("of", "epsilon", "accuracy", "mechanism")
    OF_FIELD_NUMBER: _ClassVar[int]
    EPSILON_FIELD_NUMBER: _ClassVar[int]
    ACCURACY_FIELD_NUMBER: _ClassVar[int]
    MECHANISM_FIELD_NUMBER: _ClassVar[int]
    of: str
    epsilon: str
    accuracy: Accuracy
    mechanism: Mechanism
    def __init__(self, of: _Optional[str] = ..., epsilon: _Optional[str] = ..., accuracy: _Optional[_Union[Accuracy, _Mapping]] = ..., mechanism: _Optional[_Union[Mechanism, str]] = ...) -> None: ...

class QuoteRefinementRequest(_message.Message):
    __slots__ = ("refinement",)
    REFINEMENT_FIELD_NUMBER: _ClassVar[int]
    refinement: Refinement
    def __init__(self, refinement: _Optional[_Union[Refinement, _Mapping]] = ...) -> None: ...

class RefineRequest(_message.Message):
    __slots__ = ("refinement", "query_id")
    REFINEMENT_FIELD_NUMBER: _ClassVar[int]
    QUERY_ID_FIELD_NUMBER: _ClassVar[int]
    refinement: Refinement
    query_id: str
    def __init__(self, refinement: _Optional[_Union[Refinement, _Mapping]] = ..., query_id: _Optional[str] = ...) -> None: ...

class Progress(_message.Message):
    __slots__ = ("elapsed_millis",)
    ELAPSED_MILLIS_FIELD_NUMBER: _ClassVar[int]
    elapsed_millis: int
    def __init__(self, elapsed_millis: _Optional[int] = ...) -> None: ...

class Answer(_message.Message):
    __slots__ = ("query_id", "table", "intervals", "receipt", "balance", "replayed")
    QUERY_ID_FIELD_NUMBER: _ClassVar[int]
    TABLE_FIELD_NUMBER: _ClassVar[int]
    INTERVALS_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    BALANCE_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    query_id: str
    table: bytes
    intervals: bytes
    receipt: Receipt
    balance: Balance
    replayed: bool
    def __init__(self, query_id: _Optional[str] = ..., table: _Optional[bytes] = ..., intervals: _Optional[bytes] = ..., receipt: _Optional[_Union[Receipt, _Mapping]] = ..., balance: _Optional[_Union[Balance, _Mapping]] = ..., replayed: bool = ...) -> None: ...

class Receipt(_message.Message):
    __slots__ = ("query_id", "dataset", "principal", "purpose", "price", "columns", "releases", "confidence", "policy_version", "charged_at", "promise", "balance_after", "question_digest", "refines", "governance_policy", "nonce")
    QUERY_ID_FIELD_NUMBER: _ClassVar[int]
    DATASET_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    PRICE_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    RELEASES_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    POLICY_VERSION_FIELD_NUMBER: _ClassVar[int]
    CHARGED_AT_FIELD_NUMBER: _ClassVar[int]
    PROMISE_FIELD_NUMBER: _ClassVar[int]
    BALANCE_AFTER_FIELD_NUMBER: _ClassVar[int]
    QUESTION_DIGEST_FIELD_NUMBER: _ClassVar[int]
    REFINES_FIELD_NUMBER: _ClassVar[int]
    GOVERNANCE_POLICY_FIELD_NUMBER: _ClassVar[int]
    NONCE_FIELD_NUMBER: _ClassVar[int]
    query_id: str
    dataset: str
    principal: str
    purpose: str
    price: Price
    columns: _containers.RepeatedCompositeFieldContainer[NoisyColumn]
    releases: _containers.RepeatedCompositeFieldContainer[ReleaseNote]
    confidence: float
    policy_version: str
    charged_at: int
    promise: str
    balance_after: Balance
    question_digest: str
    refines: str
    governance_policy: str
    nonce: str
    def __init__(self, query_id: _Optional[str] = ..., dataset: _Optional[str] = ..., principal: _Optional[str] = ..., purpose: _Optional[str] = ..., price: _Optional[_Union[Price, _Mapping]] = ..., columns: _Optional[_Iterable[_Union[NoisyColumn, _Mapping]]] = ..., releases: _Optional[_Iterable[_Union[ReleaseNote, _Mapping]]] = ..., confidence: _Optional[float] = ..., policy_version: _Optional[str] = ..., charged_at: _Optional[int] = ..., promise: _Optional[str] = ..., balance_after: _Optional[_Union[Balance, _Mapping]] = ..., question_digest: _Optional[str] = ..., refines: _Optional[str] = ..., governance_policy: _Optional[str] = ..., nonce: _Optional[str] = ...) -> None: ...

class GetAnswerRequest(_message.Message):
    __slots__ = ("query_id",)
    QUERY_ID_FIELD_NUMBER: _ClassVar[int]
    query_id: str
    def __init__(self, query_id: _Optional[str] = ...) -> None: ...

class GetAnswerResponse(_message.Message):
    __slots__ = ("answer",)
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    answer: Answer
    def __init__(self, answer: _Optional[_Union[Answer, _Mapping]] = ...) -> None: ...

class GetBalancesRequest(_message.Message):
    __slots__ = ("dataset",)
    DATASET_FIELD_NUMBER: _ClassVar[int]
    dataset: str
    def __init__(self, dataset: _Optional[str] = ...) -> None: ...

class GetBalancesResponse(_message.Message):
    __slots__ = ("balances",)
    BALANCES_FIELD_NUMBER: _ClassVar[int]
    balances: _containers.RepeatedCompositeFieldContainer[Balance]
    def __init__(self, balances: _Optional[_Iterable[_Union[Balance, _Mapping]]] = ...) -> None: ...

class Balance(_message.Message):
    __slots__ = ("dataset", "principal", "purpose", "account", "pool", "frozen", "frozen_because", "shared", "pool_frozen_because")
    DATASET_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    POOL_FIELD_NUMBER: _ClassVar[int]
    FROZEN_FIELD_NUMBER: _ClassVar[int]
    FROZEN_BECAUSE_FIELD_NUMBER: _ClassVar[int]
    SHARED_FIELD_NUMBER: _ClassVar[int]
    POOL_FROZEN_BECAUSE_FIELD_NUMBER: _ClassVar[int]
    dataset: str
    principal: str
    purpose: str
    account: AccountState
    pool: AccountState
    frozen: bool
    frozen_because: str
    shared: _containers.RepeatedCompositeFieldContainer[SharedAccount]
    pool_frozen_because: str
    def __init__(self, dataset: _Optional[str] = ..., principal: _Optional[str] = ..., purpose: _Optional[str] = ..., account: _Optional[_Union[AccountState, _Mapping]] = ..., pool: _Optional[_Union[AccountState, _Mapping]] = ..., frozen: bool = ..., frozen_because: _Optional[str] = ..., shared: _Optional[_Iterable[_Union[SharedAccount, _Mapping]]] = ..., pool_frozen_because: _Optional[str] = ...) -> None: ...

class SharedAccount(_message.Message):
    __slots__ = ("name", "state", "frozen_because")
    NAME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    FROZEN_BECAUSE_FIELD_NUMBER: _ClassVar[int]
    name: str
    state: AccountState
    frozen_because: str
    def __init__(self, name: _Optional[str] = ..., state: _Optional[_Union[AccountState, _Mapping]] = ..., frozen_because: _Optional[str] = ...) -> None: ...

class AccountState(_message.Message):
    __slots__ = ("granted_epsilon", "granted_delta", "spent_epsilon", "remaining_epsilon", "spent_rho", "rho_limit", "spent_delta", "charges", "window", "window_began", "window_ends", "lifetime_epsilon", "lifetime_rho", "lifetime_delta", "lifetime_charges", "loss_epsilon", "loss_delta", "expires_at", "max_epsilon", "default_epsilon", "reserved", "kept_epsilon", "kept_rho")
    GRANTED_EPSILON_FIELD_NUMBER: _ClassVar[int]
    GRANTED_DELTA_FIELD_NUMBER: _ClassVar[int]
    SPENT_EPSILON_FIELD_NUMBER: _ClassVar[int]
    REMAINING_EPSILON_FIELD_NUMBER: _ClassVar[int]
    SPENT_RHO_FIELD_NUMBER: _ClassVar[int]
    RHO_LIMIT_FIELD_NUMBER: _ClassVar[int]
    SPENT_DELTA_FIELD_NUMBER: _ClassVar[int]
    CHARGES_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    WINDOW_BEGAN_FIELD_NUMBER: _ClassVar[int]
    WINDOW_ENDS_FIELD_NUMBER: _ClassVar[int]
    LIFETIME_EPSILON_FIELD_NUMBER: _ClassVar[int]
    LIFETIME_RHO_FIELD_NUMBER: _ClassVar[int]
    LIFETIME_DELTA_FIELD_NUMBER: _ClassVar[int]
    LIFETIME_CHARGES_FIELD_NUMBER: _ClassVar[int]
    LOSS_EPSILON_FIELD_NUMBER: _ClassVar[int]
    LOSS_DELTA_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    MAX_EPSILON_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_EPSILON_FIELD_NUMBER: _ClassVar[int]
    RESERVED_FIELD_NUMBER: _ClassVar[int]
    KEPT_EPSILON_FIELD_NUMBER: _ClassVar[int]
    KEPT_RHO_FIELD_NUMBER: _ClassVar[int]
    granted_epsilon: str
    granted_delta: str
    spent_epsilon: str
    remaining_epsilon: str
    spent_rho: str
    rho_limit: str
    spent_delta: str
    charges: int
    window: str
    window_began: int
    window_ends: int
    lifetime_epsilon: str
    lifetime_rho: str
    lifetime_delta: str
    lifetime_charges: int
    loss_epsilon: str
    loss_delta: str
    expires_at: int
    max_epsilon: str
    default_epsilon: str
    reserved: str
    kept_epsilon: str
    kept_rho: str
    def __init__(self, granted_epsilon: _Optional[str] = ..., granted_delta: _Optional[str] = ..., spent_epsilon: _Optional[str] = ..., remaining_epsilon: _Optional[str] = ..., spent_rho: _Optional[str] = ..., rho_limit: _Optional[str] = ..., spent_delta: _Optional[str] = ..., charges: _Optional[int] = ..., window: _Optional[str] = ..., window_began: _Optional[int] = ..., window_ends: _Optional[int] = ..., lifetime_epsilon: _Optional[str] = ..., lifetime_rho: _Optional[str] = ..., lifetime_delta: _Optional[str] = ..., lifetime_charges: _Optional[int] = ..., loss_epsilon: _Optional[str] = ..., loss_delta: _Optional[str] = ..., expires_at: _Optional[int] = ..., max_epsilon: _Optional[str] = ..., default_epsilon: _Optional[str] = ..., reserved: _Optional[str] = ..., kept_epsilon: _Optional[str] = ..., kept_rho: _Optional[str] = ...) -> None: ...

class ListDatasetsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListDatasetsResponse(_message.Message):
    __slots__ = ("datasets",)
    DATASETS_FIELD_NUMBER: _ClassVar[int]
    datasets: _containers.RepeatedCompositeFieldContainer[Dataset]
    def __init__(self, datasets: _Optional[_Iterable[_Union[Dataset, _Mapping]]] = ...) -> None: ...

class Dataset(_message.Message):
    __slots__ = ("name", "description", "privacy_unit", "tables", "default_epsilon", "max_epsilon", "max_groups_contributed", "max_rows_contributed", "default_mechanism", "policy_version", "purposes", "default_delta", "max_delta")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    PRIVACY_UNIT_FIELD_NUMBER: _ClassVar[int]
    TABLES_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_EPSILON_FIELD_NUMBER: _ClassVar[int]
    MAX_EPSILON_FIELD_NUMBER: _ClassVar[int]
    MAX_GROUPS_CONTRIBUTED_FIELD_NUMBER: _ClassVar[int]
    MAX_ROWS_CONTRIBUTED_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_MECHANISM_FIELD_NUMBER: _ClassVar[int]
    POLICY_VERSION_FIELD_NUMBER: _ClassVar[int]
    PURPOSES_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_DELTA_FIELD_NUMBER: _ClassVar[int]
    MAX_DELTA_FIELD_NUMBER: _ClassVar[int]
    name: str
    description: str
    privacy_unit: str
    tables: _containers.RepeatedCompositeFieldContainer[Table]
    default_epsilon: str
    max_epsilon: str
    max_groups_contributed: int
    max_rows_contributed: int
    default_mechanism: Mechanism
    policy_version: str
    purposes: _containers.RepeatedScalarFieldContainer[str]
    default_delta: str
    max_delta: str
    def __init__(self, name: _Optional[str] = ..., description: _Optional[str] = ..., privacy_unit: _Optional[str] = ..., tables: _Optional[_Iterable[_Union[Table, _Mapping]]] = ..., default_epsilon: _Optional[str] = ..., max_epsilon: _Optional[str] = ..., max_groups_contributed: _Optional[int] = ..., max_rows_contributed: _Optional[int] = ..., default_mechanism: _Optional[_Union[Mechanism, str]] = ..., policy_version: _Optional[str] = ..., purposes: _Optional[_Iterable[str]] = ..., default_delta: _Optional[str] = ..., max_delta: _Optional[str] = ...) -> None: ...

class Table(_message.Message):
    __slots__ = ("name", "description", "protected", "columns")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    PROTECTED_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    name: str
    description: str
    protected: bool
    columns: _containers.RepeatedCompositeFieldContainer[Column]
    def __init__(self, name: _Optional[str] = ..., description: _Optional[str] = ..., protected: bool = ..., columns: _Optional[_Iterable[_Union[Column, _Mapping]]] = ...) -> None: ...

class Column(_message.Message):
    __slots__ = ("name", "description", "type", "privacy_unit", "lower", "upper", "domain", "tier")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    PRIVACY_UNIT_FIELD_NUMBER: _ClassVar[int]
    LOWER_FIELD_NUMBER: _ClassVar[int]
    UPPER_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    TIER_FIELD_NUMBER: _ClassVar[int]
    name: str
    description: str
    type: str
    privacy_unit: bool
    lower: float
    upper: float
    domain: str
    tier: str
    def __init__(self, name: _Optional[str] = ..., description: _Optional[str] = ..., type: _Optional[str] = ..., privacy_unit: bool = ..., lower: _Optional[float] = ..., upper: _Optional[float] = ..., domain: _Optional[str] = ..., tier: _Optional[str] = ...) -> None: ...

class Edit(_message.Message):
    __slots__ = ("policy", "budget", "move", "revoke")
    POLICY_FIELD_NUMBER: _ClassVar[int]
    BUDGET_FIELD_NUMBER: _ClassVar[int]
    MOVE_FIELD_NUMBER: _ClassVar[int]
    REVOKE_FIELD_NUMBER: _ClassVar[int]
    policy: NewPolicy
    budget: Budget
    move: Move
    revoke: Revoke
    def __init__(self, policy: _Optional[_Union[NewPolicy, _Mapping]] = ..., budget: _Optional[_Union[Budget, _Mapping]] = ..., move: _Optional[_Union[Move, _Mapping]] = ..., revoke: _Optional[_Union[Revoke, _Mapping]] = ...) -> None: ...

class NewPolicy(_message.Message):
    __slots__ = ("text", "based_on")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    BASED_ON_FIELD_NUMBER: _ClassVar[int]
    text: str
    based_on: str
    def __init__(self, text: _Optional[str] = ..., based_on: _Optional[str] = ...) -> None: ...

class Budget(_message.Message):
    __slots__ = ("principal", "dataset", "purpose", "epsilon", "delta")
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    DATASET_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    EPSILON_FIELD_NUMBER: _ClassVar[int]
    DELTA_FIELD_NUMBER: _ClassVar[int]
    principal: str
    dataset: str
    purpose: str
    epsilon: str
    delta: str
    def __init__(self, principal: _Optional[str] = ..., dataset: _Optional[str] = ..., purpose: _Optional[str] = ..., epsilon: _Optional[str] = ..., delta: _Optional[str] = ...) -> None: ...

class Move(_message.Message):
    __slots__ = ("dataset", "to", "epsilon", "delta")
    DATASET_FIELD_NUMBER: _ClassVar[int]
    FROM_FIELD_NUMBER: _ClassVar[int]
    TO_FIELD_NUMBER: _ClassVar[int]
    EPSILON_FIELD_NUMBER: _ClassVar[int]
    DELTA_FIELD_NUMBER: _ClassVar[int]
    dataset: str
    to: Holder
    epsilon: str
    delta: str
    def __init__(self, dataset: _Optional[str] = ..., to: _Optional[_Union[Holder, _Mapping]] = ..., epsilon: _Optional[str] = ..., delta: _Optional[str] = ..., **kwargs) -> None: ...

class Holder(_message.Message):
    __slots__ = ("principal", "purpose", "team")
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    TEAM_FIELD_NUMBER: _ClassVar[int]
    principal: str
    purpose: str
    team: str
    def __init__(self, principal: _Optional[str] = ..., purpose: _Optional[str] = ..., team: _Optional[str] = ...) -> None: ...

class Revoke(_message.Message):
    __slots__ = ("principal", "dataset", "purpose")
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    DATASET_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    principal: str
    dataset: str
    purpose: str
    def __init__(self, principal: _Optional[str] = ..., dataset: _Optional[str] = ..., purpose: _Optional[str] = ...) -> None: ...

class RequestBudgetRequest(_message.Message):
    __slots__ = ("dataset", "purpose", "epsilon", "delta", "justification")
    DATASET_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    EPSILON_FIELD_NUMBER: _ClassVar[int]
    DELTA_FIELD_NUMBER: _ClassVar[int]
    JUSTIFICATION_FIELD_NUMBER: _ClassVar[int]
    dataset: str
    purpose: str
    epsilon: str
    delta: str
    justification: str
    def __init__(self, dataset: _Optional[str] = ..., purpose: _Optional[str] = ..., epsilon: _Optional[str] = ..., delta: _Optional[str] = ..., justification: _Optional[str] = ...) -> None: ...

class ListRequestsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetPolicyRequest(_message.Message):
    __slots__ = ("version",)
    VERSION_FIELD_NUMBER: _ClassVar[int]
    version: int
    def __init__(self, version: _Optional[int] = ...) -> None: ...

class GetPolicyResponse(_message.Message):
    __slots__ = ("version", "text")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    version: PolicyVersion
    text: str
    def __init__(self, version: _Optional[_Union[PolicyVersion, _Mapping]] = ..., text: _Optional[str] = ...) -> None: ...

class PolicyVersion(_message.Message):
    __slots__ = ("version", "hash", "at", "author", "approved_by", "reason")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    HASH_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    AUTHOR_FIELD_NUMBER: _ClassVar[int]
    APPROVED_BY_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    version: int
    hash: str
    at: int
    author: str
    approved_by: _containers.RepeatedScalarFieldContainer[str]
    reason: str
    def __init__(self, version: _Optional[int] = ..., hash: _Optional[str] = ..., at: _Optional[int] = ..., author: _Optional[str] = ..., approved_by: _Optional[_Iterable[str]] = ..., reason: _Optional[str] = ...) -> None: ...

class ListPoliciesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListPoliciesResponse(_message.Message):
    __slots__ = ("versions",)
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    versions: _containers.RepeatedCompositeFieldContainer[PolicyVersion]
    def __init__(self, versions: _Optional[_Iterable[_Union[PolicyVersion, _Mapping]]] = ...) -> None: ...

class SimulateRequest(_message.Message):
    __slots__ = ("edit",)
    EDIT_FIELD_NUMBER: _ClassVar[int]
    edit: Edit
    def __init__(self, edit: _Optional[_Union[Edit, _Mapping]] = ...) -> None: ...

class SimulateResponse(_message.Message):
    __slots__ = ("effect", "text", "based_on")
    EFFECT_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    BASED_ON_FIELD_NUMBER: _ClassVar[int]
    effect: Effect
    text: str
    based_on: str
    def __init__(self, effect: _Optional[_Union[Effect, _Mapping]] = ..., text: _Optional[str] = ..., based_on: _Optional[str] = ...) -> None: ...

class Effect(_message.Message):
    __slots__ = ("accounts", "rules", "approvals", "diff", "based_on")
    ACCOUNTS_FIELD_NUMBER: _ClassVar[int]
    RULES_FIELD_NUMBER: _ClassVar[int]
    APPROVALS_FIELD_NUMBER: _ClassVar[int]
    DIFF_FIELD_NUMBER: _ClassVar[int]
    BASED_ON_FIELD_NUMBER: _ClassVar[int]
    accounts: _containers.RepeatedCompositeFieldContainer[AccountChange]
    rules: _containers.RepeatedScalarFieldContainer[str]
    approvals: int
    diff: str
    based_on: str
    def __init__(self, accounts: _Optional[_Iterable[_Union[AccountChange, _Mapping]]] = ..., rules: _Optional[_Iterable[str]] = ..., approvals: _Optional[int] = ..., diff: _Optional[str] = ..., based_on: _Optional[str] = ...) -> None: ...

class AccountChange(_message.Message):
    __slots__ = ("account", "before", "after", "remaining_before", "remaining_after", "overdrawn")
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    REMAINING_BEFORE_FIELD_NUMBER: _ClassVar[int]
    REMAINING_AFTER_FIELD_NUMBER: _ClassVar[int]
    OVERDRAWN_FIELD_NUMBER: _ClassVar[int]
    account: str
    before: str
    after: str
    remaining_before: str
    remaining_after: str
    overdrawn: bool
    def __init__(self, account: _Optional[str] = ..., before: _Optional[str] = ..., after: _Optional[str] = ..., remaining_before: _Optional[str] = ..., remaining_after: _Optional[str] = ..., overdrawn: bool = ...) -> None: ...

class ProposeRequest(_message.Message):
    __slots__ = ("edit", "reason")
    EDIT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    edit: Edit
    reason: str
    def __init__(self, edit: _Optional[_Union[Edit, _Mapping]] = ..., reason: _Optional[str] = ...) -> None: ...

class ListProposalsRequest(_message.Message):
    __slots__ = ("open",)
    OPEN_FIELD_NUMBER: _ClassVar[int]
    open: bool
    def __init__(self, open: bool = ...) -> None: ...

class ListProposalsResponse(_message.Message):
    __slots__ = ("proposals",)
    PROPOSALS_FIELD_NUMBER: _ClassVar[int]
    proposals: _containers.RepeatedCompositeFieldContainer[Proposal]
    def __init__(self, proposals: _Optional[_Iterable[_Union[Proposal, _Mapping]]] = ...) -> None: ...

class ProposalResponse(_message.Message):
    __slots__ = ("proposal",)
    PROPOSAL_FIELD_NUMBER: _ClassVar[int]
    proposal: Proposal
    def __init__(self, proposal: _Optional[_Union[Proposal, _Mapping]] = ...) -> None: ...

class Proposal(_message.Message):
    __slots__ = ("id", "at", "author", "reason", "edit", "state", "approvals", "opinions", "effect", "obstacle")
    ID_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    AUTHOR_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    EDIT_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    APPROVALS_FIELD_NUMBER: _ClassVar[int]
    OPINIONS_FIELD_NUMBER: _ClassVar[int]
    EFFECT_FIELD_NUMBER: _ClassVar[int]
    OBSTACLE_FIELD_NUMBER: _ClassVar[int]
    id: int
    at: int
    author: str
    reason: str
    edit: Edit
    state: str
    approvals: int
    opinions: _containers.RepeatedCompositeFieldContainer[Opinion]
    effect: Effect
    obstacle: str
    def __init__(self, id: _Optional[int] = ..., at: _Optional[int] = ..., author: _Optional[str] = ..., reason: _Optional[str] = ..., edit: _Optional[_Union[Edit, _Mapping]] = ..., state: _Optional[str] = ..., approvals: _Optional[int] = ..., opinions: _Optional[_Iterable[_Union[Opinion, _Mapping]]] = ..., effect: _Optional[_Union[Effect, _Mapping]] = ..., obstacle: _Optional[str] = ...) -> None: ...

class Opinion(_message.Message):
    __slots__ = ("who", "approves", "reason", "at")
    WHO_FIELD_NUMBER: _ClassVar[int]
    APPROVES_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    who: str
    approves: bool
    reason: str
    at: int
    def __init__(self, who: _Optional[str] = ..., approves: bool = ..., reason: _Optional[str] = ..., at: _Optional[int] = ...) -> None: ...

class DecideRequest(_message.Message):
    __slots__ = ("proposal", "approve", "reason", "based_on")
    PROPOSAL_FIELD_NUMBER: _ClassVar[int]
    APPROVE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    BASED_ON_FIELD_NUMBER: _ClassVar[int]
    proposal: int
    approve: bool
    reason: str
    based_on: str
    def __init__(self, proposal: _Optional[int] = ..., approve: bool = ..., reason: _Optional[str] = ..., based_on: _Optional[str] = ...) -> None: ...

class FreezeRequest(_message.Message):
    __slots__ = ("dataset", "holder", "reason", "lift")
    DATASET_FIELD_NUMBER: _ClassVar[int]
    HOLDER_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    LIFT_FIELD_NUMBER: _ClassVar[int]
    dataset: str
    holder: str
    reason: str
    lift: bool
    def __init__(self, dataset: _Optional[str] = ..., holder: _Optional[str] = ..., reason: _Optional[str] = ..., lift: bool = ...) -> None: ...

class FreezeResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListAccountsRequest(_message.Message):
    __slots__ = ("dataset",)
    DATASET_FIELD_NUMBER: _ClassVar[int]
    dataset: str
    def __init__(self, dataset: _Optional[str] = ...) -> None: ...

class ListAccountsResponse(_message.Message):
    __slots__ = ("balances", "shared")
    BALANCES_FIELD_NUMBER: _ClassVar[int]
    SHARED_FIELD_NUMBER: _ClassVar[int]
    balances: _containers.RepeatedCompositeFieldContainer[Balance]
    shared: _containers.RepeatedCompositeFieldContainer[SharedAccount]
    def __init__(self, balances: _Optional[_Iterable[_Union[Balance, _Mapping]]] = ..., shared: _Optional[_Iterable[_Union[SharedAccount, _Mapping]]] = ...) -> None: ...

class GetHeadRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetHeadResponse(_message.Message):
    __slots__ = ("entries", "hash")
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    HASH_FIELD_NUMBER: _ClassVar[int]
    entries: int
    hash: str
    def __init__(self, entries: _Optional[int] = ..., hash: _Optional[str] = ...) -> None: ...

class ReadLogRequest(_message.Message):
    __slots__ = ()
    FROM_FIELD_NUMBER: _ClassVar[int]
    def __init__(self, **kwargs) -> None: ...

class AuditEntry(_message.Message):
    __slots__ = ("seq", "at", "kind", "body", "previous", "hash")
    SEQ_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_FIELD_NUMBER: _ClassVar[int]
    HASH_FIELD_NUMBER: _ClassVar[int]
    seq: int
    at: int
    kind: str
    body: str
    previous: str
    hash: str
    def __init__(self, seq: _Optional[int] = ..., at: _Optional[int] = ..., kind: _Optional[str] = ..., body: _Optional[str] = ..., previous: _Optional[str] = ..., hash: _Optional[str] = ...) -> None: ...
