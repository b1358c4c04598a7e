"""Changes of the policy that wait for approval, or waited."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from ._layout import html_heading, html_notes
from .policy import Edit, Effect, minute


@dataclass(frozen=True)
class Opinion:
    """What somebody of governance said of a proposal.

    Attributes:
        who: Who.
        approves: Whether they approved it; else they rejected it.
        reason: Why.
        at: When, in UTC.
    """

    who: str
    approves: bool
    reason: str
    at: datetime

    def __str__(self) -> str:
        verb = "Approved" if self.approves else "Rejected"
        return f"{verb} by {self.who}, {minute(self.at)}: {self.reason}"


@dataclass(frozen=True, repr=False)
class Proposal:
    """A change of the policy that somebody proposed, or a budget that somebody asked for.

    Attributes:
        id: Its number.
        at: When it was made, in UTC.
        author: By whom.
        reason: Why.
        edit: The change; None where this version of the client does not know its kind.
        state: `open`, `approved` or `rejected`.
        approvals: Approvals of others than its author that it needs.
        opinions: What others said of it so far.
        effect: What it would do now, while it is open and can be carried out. Analysts see none.
        obstacle: Why it cannot be carried out now; None where it can, or is not open.
    """

    id: int
    at: datetime
    author: str
    reason: str
    edit: Edit | None
    state: str
    approvals: int
    opinions: tuple[Opinion, ...] = ()
    effect: Effect | None = None
    obstacle: str | None = None

    def _title(self) -> str:
        given = sum(opinion.approves for opinion in self.opinions)
        approvals = "approval" if self.approvals == 1 else "approvals"
        return (
            f"Proposal {self.id} of {self.author}, {minute(self.at)}: {self.state}, "
            f"{given} of {self.approvals} {approvals}"
        )

    def _notes(self) -> list[str]:
        what = "a change that this version of the client does not know"
        return [
            str(self.edit or what),
            f"Because: {self.reason}",
            *map(str, self.opinions),
            *([f"Cannot be carried out now: {self.obstacle}"] if self.obstacle else []),
        ]

    def __repr__(self) -> str:
        effect = [repr(self.effect)] if self.effect is not None else []
        return "\n".join([self._title(), *self._notes(), *effect])

    def _repr_html_(self) -> str:
        effect = "" if self.effect is None else self.effect._repr_html_()
        return html_heading(self._title()) + html_notes(self._notes()) + effect
