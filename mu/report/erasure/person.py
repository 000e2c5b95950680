"""The letter for the person: plain text, and what only the sender knows in [brackets]."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from mu.report.erasure.text import count, day, late, plain, unchanged
from mu.report.erasure.words import REPLACED, RETRAIN, TRAINED

WIDTH = 76
ASKED = {
    "erasure": "You asked us to erase records, and what our image recognition learned from them.",
    "withdrawal": "You withdrew your consent to the use of records, and asked us to remove what "
    "our image recognition learned from them.",
    "poison": "We were told that records from which our image recognition learned had been "
    "tampered with, and should be removed from what it learned.",
    "label_error": "We were told that records from which our image recognition learned were "
    "wrongly labelled, and should be removed from what it learned.",
    "disgorgement": "Our image recognition is not allowed to keep what it learned from certain "
    "records.",
}
FOUND = {
    "trained": "used to train our image recognition",
    "copy": "exact copies of such records, also used to train it",
    "near_copy": "nearly the same picture as such a record, also used to train it",
    "validation": "used to choose settings, but not to train",
    "left_out": "kept, but not used to train",
    "test": "used to test, but not to train",
    "forgotten": "removed from it earlier, by another request",
    "unknown": "not found",
}


def letter(predicate: Mapping[str, Any]) -> str:
    """The letter; it holds no name and no record, only what the sender fills in."""
    parts = [
        *_head(predicate["request"]),
        *_asked(predicate["request"]),
        *_done(predicate),
        *_meaning(predicate),
        *_uncertain(predicate),
        *_end(predicate["request"]),
    ]
    return "\n\n".join(_wrapped(part) for part in parts) + "\n"


def _wrapped(part: str) -> str:
    """A paragraph at the letter's width; lines of a list stay lines."""
    return "\n".join(
        textwrap.fill(line, WIDTH, subsequent_indent="  " if line.startswith("- ") else "")
        for line in part.split("\n")
    )


def _head(request: Mapping[str, Any]) -> Iterator[str]:
    yield "[name of the organisation]\n[address of the organisation]"
    yield "[name of the person]\n[address of the person]"
    yield "[date of this letter]"
    yield f"Your request of {day(request['receivedAt'])}\nReference: {plain(request['id'], 60)}"
    yield "Dear [name of the person],"


def _asked(request: Mapping[str, Any]) -> Iterator[str]:
    found = request["found"]
    yield "WHAT YOU ASKED"
    yield (
        f"{ASKED.get(request['kind'], ASKED['erasure'])} "
        f"We received this on {day(request['receivedAt'])}."
    )
    yield "WHAT WE FOUND"
    told = [f"- {found[name]:,}: {text}" for name, text in FOUND.items() if found.get(name)]
    named = f"{count(request['entries'], 'record was', 'records were')} named to us, "
    named += "by name or pattern."
    yield "\n".join([f"{named} What we found:", *told] if told else [f"{named} We found none."])
    if found.get("unknown"):
        yield (
            "What we could not find we cannot remove. If you believe that we have it, please send "
            "us the picture or its file name: [contact]."
        )


def _touched(predicate: Mapping[str, Any]) -> bool:
    return any(predicate["request"]["found"].get(name) for name in TRAINED)


def _done(predicate: Mapping[str, Any]) -> Iterator[str]:
    yield "WHAT WE DID"
    action, models = predicate.get("action"), predicate["scope"]["models"]
    if not _touched(predicate):  # perhaps those of others in the same batch
        yield (
            "Our image recognition did not learn from these records, so there was nothing to "
            "remove from it."
        )
    else:
        if action:
            yield _changed(predicate, action)
        if action and (why := action.get("closed")):
            yield (
                "The new model did not pass all that we ask of one before it is used "
                f"({plain(why, 150)}). So the old model was not replaced, and no other one was "
                "taken out of use. [Say what you will do next, and by when.]"
            )
        elif any(one["decision"] == "retire" for one in models):
            yield (
                "Other models that learned from the records are taken out of use. [Say whether "
                "this is done, or when it will be.]"
            )
        yield from _leftovers(predicate["scope"]["leftovers"])
    yield (
        "This letter is about what our image recognition learned. [Say what happens to the records "
        "themselves, in all places where you keep them, and when.]"
    )


def _changed(predicate: Mapping[str, Any], action: Mapping[str, Any]) -> str:
    replaced = [one for one in predicate["scope"]["models"] if one["decision"] in REPLACED]
    finished, closed = day(action["unlearnedAt"]), action.get("closed")
    model = "a copy of the model" if closed else "the model"
    if action["method"] == RETRAIN:
        text = (
            "We trained a new model from the beginning, without the records. It was finished on "
            f"{finished}."
        )
    elif unchanged(action):
        text = (
            "We tried to remove from the model what it had learned from the records. That left the "
            f"model as it was. This was finished on {finished}."
        )
    else:
        text = (
            f"We changed {model} that had learned from the records, in order to remove what it "
            f"had learned from them. This was finished on {finished}."
        )
    if len(replaced) > 1 and not closed:
        text += " Other models that had learned from the records are replaced too."
    if late(action["unlearnedAt"], predicate["request"]["dueAt"]):
        text += " [This was later than the law allows: say why.]"
    return text


def _leftovers(leftovers: list[Mapping[str, Any]]) -> Iterator[str]:
    if not leftovers:
        return
    if all(one["removedAt"] for one in leftovers):
        yield "Working copies that could hold the records were deleted."
    else:
        yield (
            "Some working copies that could hold the records are not deleted yet. [Say which, and "
            "when they will be.]"
        )


def _meaning(predicate: Mapping[str, Any]) -> Iterator[str]:
    if not _touched(predicate) or not predicate.get("action"):
        return
    yield "WHAT IT MEANS"
    effect = predicate.get("effect") or {}
    word = predicate["verdict"]["word"]
    if word == "forgotten":
        compared = (
            " In them it knows the records no better than a model that never saw them, within "
            "limits that we set beforehand."
        )
        yield (
            "We tested whether the new model still shows traces of the records. It passed these "
            f"tests.{compared if effect.get('oracle') else ''}"
        )
        if (effect.get("records") or {}).get("no_baseline"):
            yield (
                "For some of the records nothing can be shown either way: the old model showed no "
                "measurable trace of them, so there was none that could be seen to go."
            )
    elif word == "residual":
        yield (
            "We tested whether the new model still shows traces of the records, and it does, at "
            "least of some. Your request is therefore not finished. [Say what you will do next, "
            "and by when.]"
        )
    else:
        done = "" if predicate["action"].get("closed") else " We did the steps above all the same."
        yield (
            "Our tests could not show that the old model knew the records. So we cannot show you "
            f"that something is gone.{done}"
        )


def _uncertain(predicate: Mapping[str, Any]) -> Iterator[str]:
    yield "WHAT REMAINS UNCERTAIN"
    if _touched(predicate):
        yield (
            "No test can prove that a model has forgotten. Our tests look for traces in ways that "
            "are known today; other ways might find some."
        )
    else:
        yield (
            "We compared files and pictures. A picture that was changed a lot may not be found so."
        )
    masks = predicate["scope"].get("masks", ()) if _touched(predicate) else ()
    if any(one["used"] and one["sawRecords"] for one in masks):
        yield (
            "One choice about how the model is built was made earlier with the help of the "
            "records, and was kept. It may hold a small trace of them."
        )
    yield (
        "Copies that others received from us are not covered. [Name those to whom the records or "
        "the model were passed on, and whether they were told.]"
    )


def _end(request: Mapping[str, Any]) -> Iterator[str]:
    yield "WHOM TO ASK"
    yield (
        "Please write to [name and contact of the data protection officer] and give the reference "
        f"{plain(request['id'], 60)}. We will send you, on request, the evidence that this letter "
        "is based on. You may also complain to [supervisory authority]."
    )
    yield "Yours sincerely,"
    yield "[name of the sender]\n[name of the organisation]"
