"""What the timeline says of results, inquiries, repeats and what an operator did."""

from __future__ import annotations

from collections.abc import Sequence

from msh.catalog import Catalog
from msh.cli.output import local
from msh.cli.tones import Tone, tone_of
from msh.protocol.journal import Entry, Step
from msh.store import Delivery, Outcome


def outcome_line(entry: Entry, code: str) -> tuple[str, str, Tone]:
    """What an entry says: label, text, tone. ``code`` is its status code with its text."""
    details = entry.details
    by, status = details.get("by"), details.get("status")
    told = f", {code}" if status else ""
    match entry.step:
        case Step.RESOLVED:
            return "result", f"came in {by}{told}", tone_of(status) if status else Tone.GOOD
        case Step.OUTCOME:
            other = "a different one" if details.get("differs") else "another one"
            return "result", f"{other} came in {by}{told}", tone_of(status)
        case Step.INQUIRED:
            return "inquiry", f"{by} asks what became of it", Tone.PLAIN
        case Step.STILL_IN_DOUBT:
            return "inquiry", f"{by}{told}: that leaves the doubt", Tone.DOUBT
        case Step.NOT_EXECUTED:
            return "inquiry", f"{by}{told}: it was not executed", Tone.BAD
        case Step.SETTLED:
            found = f"an operator found it {details.get('state')}"
            return "settled", f"{found}: {details.get('because')}", Tone.GOOD
        case Step.REPEAT_ASKED:
            return "asked for", f"again, by {by}", Tone.PLAIN
        case Step.REPEATED:
            return "sent again", f"the same bytes, try {details.get('tries')}", Tone.PLAIN
        case Step.AMBIGUOUS:
            count = details.get("candidates")
            return "untied", f"{count} requests have its references: none is taken", Tone.DOUBT
        case Step.RERUN_ASKED:
            return "run again", "asked for by an operator", Tone.PLAIN
        case Step.RERUN_ENDED:
            return "run again", f"ended with {code}; the stored reply stays", tone_of(status)
        case Step.CLOSED:
            return "closed", f"by an operator: {details.get('because')}", Tone.PLAIN
    return str(entry.step), told.lstrip(", "), Tone.PLAIN


def outcome_facts(
    outcomes: Sequence[Outcome], results: Sequence[Delivery], catalog: Catalog
) -> list[tuple[str, str | None]]:
    """What `msh show` prints of results: those that came, and those that were sent."""
    came = [
        (
            "outcome",
            f"{one.status} {catalog.text_of(one.status)}".rstrip() if one.status else "no status",
            f"in {one.message_id}, {local(one.received)}",
        )
        for one in outcomes
    ]
    facts: list[tuple[str, str | None]] = [(name, f"{said} {where}") for name, said, where in came]
    return facts + [("referred to", f"by {one.service} {one.message_id}") for one in results]
