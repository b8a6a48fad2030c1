"""What is done about what goes wrong: one table, read from the top; the first row that fits is taken."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Stage(StrEnum):
    """Where something went wrong."""

    CALL = "call"
    """A request to a back end."""
    JOB = "job"
    """A job that the back end ended as failed."""
    PRODUCT = "product"
    """Downloaded results."""


class Action(StrEnum):
    """What is done."""

    CALL_AGAIN = "call again"
    """The same request later; the tile stays where it is."""
    FETCH_AGAIN = "fetch again"
    """Results are downloaded once more."""
    RETRY = "retry"
    """Another job of the tile, on any back end."""
    ELSEWHERE = "elsewhere"
    """Another job of the tile, on another back end where there is one."""
    MORE_MEMORY = "more memory"
    """Another job of the tile, which asks for more memory."""
    WAIT_TURN = "wait its turn"
    """The back end has less room than was thought; the job is started when another has ended."""
    BREAK = "break"
    """Nothing is sent to the back end for a while; the request is made again after that."""
    PAUSE = "pause"
    """The run pauses until a person resumes it; the request is made again then."""
    HOLD = "hold"
    """A person decides."""


@dataclass(frozen=True)
class Rule:
    """A row of the policy.

    Attributes:
        name: kept in the ledger with every failed attempt that it was taken for.
        stage: where.
        kinds: of errors (`BackEndError.kind`, or `product`); empty: any.
        text: regular expression that the error's code and message must hold; empty: any.
        action: what is done.
        times: how often, for one tile and row (for one request where that is made again); None: no limit.
        then: what is done after that.
        wait_s: before the first time; each further time it is twice as long.
        most_s: but never longer.
        share: whether it counts for the share of failures at which the run pauses.
    """

    name: str
    stage: Stage
    kinds: tuple[str, ...]
    text: str
    action: Action
    times: int | None = None
    then: Action = Action.HOLD
    wait_s: float = 0.0
    most_s: float = 3600.0
    share: bool = True

    @property
    def told(self) -> str:
        """The row in words."""
        of = " or ".join(self.kinds) or "anything else"
        if self.text:
            of = f"{of.replace('anything else', 'any')}, with the text {self.text}"
        times = "" if self.times is None else f" {self.times} times, then {self.then}"
        wait = f", after {self.wait_s:g} s, doubled up to {self.most_s:g} s" if self.wait_s else ""
        return f"{self.stage}: {self.name} ({of}): {self.action}{times}{wait}"

    def fits(self, failure: Failure) -> bool:
        """Whether the row is about such a failure."""
        if self.stage != failure.stage or (self.kinds and failure.kind not in self.kinds):
            return False
        return not self.text or re.search(self.text, f"{failure.code} {failure.text}", re.I) is not None


@dataclass(frozen=True)
class Failure:
    """Something that went wrong.

    Attributes:
        stage: where.
        kind: of the error, `disk` where this machine has no room; for failed jobs `error` or `canceled`, for
            products `again` or `wrong`.
        text: what was said, for people.
        code: openEO's error code.
        retry_after: seconds that the back end asks to wait.
    """

    stage: Stage
    kind: str
    text: str
    code: str = ""
    retry_after: float | None = None


@dataclass(frozen=True)
class Decision:
    """What is done about a failure.

    Attributes:
        rule: the row that was taken.
        action: what is done.
        wait_s: before it.
    """

    rule: Rule
    action: Action
    wait_s: float


_MEMORY = (
    r"out.?of.?memory|\bOOM|MemoryError|memory ?(limit|budget)|exceed\w* .{0,30}memory|heap space"
    r"|exit (code|status):?( is)? 137|SIGKILL|cannot allocate|memory runs out"
)
_TRANSIENT = (
    r"tim(e|ed)[ -]?out|connection (was )?(reset|refused|closed|aborted|lost)|temporar|unavailable|try again"
    r"|executor ?lost|lost (node|worker|executor)|(node|worker|server|executor) was lost|preempt"
    r"|(http|status|code|error):? {0,2}(50[234]|429)\b|\b50[234] (bad gateway|service|gateway time)"
    r"|bad gateway|too many requests|InfrastructureBusy|no space left|disk is full"
)
_DETERMINISTIC = (
    r"Process(Graph|Parameter|Unsupported|Invalid)|CollectionNotFound|NoDataAvailable|BandNotFound"
    r"|not (available|supported)|Udf|ModelMismatch|invalid (graph|argument|parameter)|too many items"
    r"|PermissionsInsufficient"
)

RULES: tuple[Rule, ...] = (
    # --- requests ---
    Rule("full", Stage.CALL, ("full",), "", Action.WAIT_TURN, share=False, wait_s=30, most_s=300),
    Rule("unauthorized", Stage.CALL, ("unauthorized",), "", Action.BREAK, share=False, wait_s=300),
    Rule("payment", Stage.CALL, ("payment",), "", Action.BREAK, share=False, wait_s=3600),
    Rule("memory", Stage.CALL, ("memory",), "", Action.MORE_MEMORY, 3),
    Rule("refused", Stage.CALL, ("deterministic",), "", Action.HOLD),
    Rule("lost", Stage.CALL, ("lost",), "", Action.CALL_AGAIN, 2, wait_s=60),
    Rule("nonsense", Stage.CALL, ("nonsense",), "", Action.CALL_AGAIN, 6, wait_s=10, most_s=600),
    Rule("away", Stage.CALL, ("transient",), "", Action.CALL_AGAIN, share=False, wait_s=5, most_s=300),
    Rule("disk", Stage.CALL, ("disk",), "", Action.PAUSE, share=False, wait_s=60, most_s=60),
    Rule("fault", Stage.CALL, (), "", Action.HOLD),
    # --- jobs that failed ---
    Rule("canceled", Stage.JOB, ("canceled",), "", Action.HOLD),
    Rule("memory", Stage.JOB, (), _MEMORY, Action.MORE_MEMORY, 3),
    Rule("deterministic", Stage.JOB, (), _DETERMINISTIC, Action.HOLD),
    Rule("transient", Stage.JOB, (), _TRANSIENT, Action.RETRY, 6, wait_s=60, share=False),
    Rule("unknown", Stage.JOB, (), "", Action.ELSEWHERE, 1, wait_s=60),
    # --- results ---
    Rule("damaged", Stage.PRODUCT, ("again",), "", Action.FETCH_AGAIN, 3, wait_s=30),
    Rule("product", Stage.PRODUCT, (), "", Action.HOLD),
)


def decide(failure: Failure, before: int, rules: Sequence[Rule] = RULES) -> Decision:
    """What is done about a failure.

    Args:
        failure: what went wrong.
        before: how often the row that fits was taken before, for this tile or request (`rule_for`).
        rules: the policy.
    """
    rule = rule_for(failure, rules)
    action = rule.action if rule.times is None or before < rule.times else rule.then
    wait_s = min(rule.most_s, rule.wait_s * 2 ** min(before, 20))
    return Decision(rule, action, max(wait_s, failure.retry_after or 0.0))


def rule_for(failure: Failure, rules: Sequence[Rule] = RULES) -> Rule:
    """The first row that fits; the last of each stage fits all."""
    return next(rule for rule in rules if rule.fits(failure))
