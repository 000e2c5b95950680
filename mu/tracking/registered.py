"""MLflow's registered models: versions made of runs, found by address, given aliases and tags."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from shlex import quote

from mlflow.entities.model_registry import ModelVersion, RegisteredModel
from mlflow.exceptions import MlflowException

from mu.distributed.group import from_first
from mu.errors import UserError, unknown
from mu.file_names import CHECKPOINT_FOLDER
from mu.model_names import SCHEME, checked_model_name, parsed_address
from mu.tags import REGISTER, RETIRED, SPEC
from mu.tracking.store import Store, failure
from mu.tracking.version_card import ABOUT_MODEL, version_description, version_tags

PAGE = 100  # runs that are asked about at once
MOST_NAMED = 1000
_MISSING = ("RESOURCE_DOES_NOT_EXIST", "NOT_FOUND")


@dataclass(frozen=True)
class Version:
    """A version of a registered model."""

    name: str  # of the registered model
    number: int
    run_id: str  # that made it; empty where no run is known
    tags: Mapping[str, str]
    aliases: tuple[str, ...]  # of the registered model's, those that stand for this version

    @property
    def uri(self) -> str:
        """Its address, whatever becomes of the aliases."""
        return f"{SCHEME}{self.name}/{self.number}"

    def __str__(self) -> str:
        aliases = f" ({', '.join(self.aliases)})" if self.aliases else ""
        return f"{self.name} version {self.number}{aliases}"


def register(store: Store, run_id: str, name: str) -> Version:
    """Make the checkpoint of a finished run a new version of the registered model ``name``.

    The registered model is made if it is not there. A run that is a version of it already is not
    registered twice. Of several ranks the first one does it.

    UserError if the name cannot be one, the run is not finished or holds no network, or the store
    refuses.
    """
    checked_model_name("register", name)
    return from_first(lambda: _register(store, run_id, name))


def register_as_asked(store: Store, run_id: str) -> Version | None:
    """:func:`register` a run that has ended well, if that was asked for when it was started.

    UserError that says how to do it later: what goes wrong costs the version, not the run.
    """
    name = store.run(run_id).data.tags.get(REGISTER)
    if name is None:
        return None
    try:
        return register(store, run_id, name)
    except UserError as error:
        raise UserError(
            f"run {run_id} has ended well, but it is no version of {name!r} ({error}); to make it "
            f"one: mu register {run_id} {quote(name)}"
        ) from error


def find_version(store: Store, uri: str) -> Version:
    """The version that ``models:/NAME/VERSION`` or ``models:/NAME@ALIAS`` names.

    UserError that says what there is, if there is no such model, version or alias.
    """
    name, number, alias = parsed_address(uri)

    def found() -> Version:
        model = _model(store, name)
        wanted = number
        if alias is not None:
            wanted = _of_alias(model, alias)
        elif number is None:
            wanted = max((int(one.version) for one in model.latest_versions), default=0)
        return _version(_known(store, model, int(wanted or 0)), model)

    return from_first(found)


def run_of(store: Store, text: str) -> str:
    """The whole ID of a run: of which the first digits are given, or the version that it made.

    UserError as of :meth:`Store.full_id` and :func:`find_version`, and if an alias stands for a
    version that an erasure retired: who names it by its number means it.
    """
    if not text.startswith(SCHEME):
        return store.full_id(text)
    version = find_version(store, text)
    if (erasure := version.tags.get(RETIRED)) and parsed_address(text).alias is not None:
        raise UserError(
            f"{text}: {version} holds records that erasure {erasure} removed; move the alias to a "
            f"version without them: mu promote {SCHEME}{version.name}/NUMBER ALIAS"
        )
    if not version.run_id:
        raise UserError(f"{text}: {version} names no run that made it; give a version of mu's")
    return version.run_id


def versions_of(store: Store, run_ids: Iterable[str]) -> list[Version]:
    """Every version, of all registered models, that one of these runs made, by name and number.

    ``run_ids``: whole IDs. UserError if the store does not answer.
    """
    ids = [run_id for run_id in dict.fromkeys(run_ids) if run_id.isalnum()]

    def found() -> list[Version]:
        with store.answers():
            made = [one for at in range(0, len(ids), PAGE) for one in _made(store, ids[at:][:PAGE])]
            models = {n: store.client.get_registered_model(n) for n in {one.name for one in made}}
        versions = [_version(one, models[one.name]) for one in made]
        return sorted(versions, key=lambda one: (one.name, one.number))

    return from_first(found)


def registered_as(store: Store, run_id: str) -> dict[str, str]:
    """The versions that a run made, in words, by address; for its last lines.

    None where the store does not answer: the run has ended well.
    """
    with suppress(UserError):
        return {one.uri: str(one) for one in versions_of(store, [run_id])}
    return {}


def set_alias(store: Store, name: str, alias: str, version: int) -> None:
    """Let an alias of a registered model stand for a version, whatever it stood for before.

    UserError if there is no such model or version, or the alias cannot be one.
    """
    known = find_version(store, f"{SCHEME}{name}/{version}")
    client = store.client
    _change(store, lambda: client.set_registered_model_alias(name, alias, str(known.number)))


def tag_version(store: Store, name: str, version: int, tags: Mapping[str, str]) -> None:
    """Set tags of a version; its others stay as they are.

    UserError if there is no such model or version, or the store refuses.
    """
    known = find_version(store, f"{SCHEME}{name}/{version}")

    def change() -> None:
        for key, value in tags.items():
            store.client.set_model_version_tag(name, str(known.number), key, value)

    _change(store, change)


# --- how a version is made ----------------------------------------------------------------


def _register(store: Store, run_id: str, name: str) -> Version:
    run = store.run(run_id)
    if run.info.status != "FINISHED" or SPEC not in run.data.tags:
        raise UserError(
            f"run {run_id} ({run.info.status}) holds no finished network to register; give the ID "
            "of a FINISHED run of prune, unlearn, backdoor or transfer"
        )
    if before := [one for one in versions_of(store, [run_id]) if one.name == name]:
        return before[0]
    with store.answers():
        _make_model(store, name)
        # The folder itself, as mlflow.register_model does: pages and servers of any address
        # find it, and the run's ID makes it the version's source run.
        made = store.client.create_model_version(
            name,
            f"{run.info.artifact_uri}/{CHECKPOINT_FOLDER}",
            run_id,
            tags=version_tags(run),
            description=version_description(run),
            await_creation_for=0,  # it is ready at once, and MLflow would say that it waits
        )
    return _version(made, store.client.get_registered_model(name))


def _make_model(store: Store, name: str) -> None:
    with suppress(MlflowException):
        store.client.get_registered_model(name)
        return
    try:
        store.client.create_registered_model(name, description=ABOUT_MODEL.format(name=name))
    except MlflowException as error:  # another process was quicker
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


# --- how one is found ---------------------------------------------------------------------


def _model(store: Store, name: str) -> RegisteredModel:
    try:
        return store.client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code not in _MISSING:
            raise failure(store.uri, error) from error
    with store.answers():
        known = [one.name for one in store.client.search_registered_models(max_results=MOST_NAMED)]
    if not known:
        raise UserError(
            f"there is no registered model {name!r}, nor any other; make one: "
            f"mlflow run . -e unlearn -P register={name}"
        )
    raise unknown("registered model", name, known)


def _of_alias(model: RegisteredModel, alias: str) -> int:
    if alias not in model.aliases:
        if not model.aliases:
            raise UserError(
                f"the registered model {model.name!r} has no alias {alias!r}, nor any other; "
                f"{_newest(model)}"
            )
        raise unknown(f"alias of the registered model {model.name!r}:", alias, model.aliases)
    return int(model.aliases[alias])


def _known(store: Store, model: RegisteredModel, number: int) -> ModelVersion:
    try:
        return store.client.get_model_version(model.name, str(number))
    except MlflowException as error:
        if error.error_code not in _MISSING:
            raise failure(store.uri, error) from error
    aliases = ", ".join(f"{alias} ({its})" for alias, its in sorted(model.aliases.items()))
    raise UserError(
        f"the registered model {model.name!r} has no version {number}; {_newest(model)}"
        + (f", or an alias: {aliases}" if aliases else "")
    )


def _newest(model: RegisteredModel) -> str:
    numbers = [int(one.version) for one in model.latest_versions]
    if not numbers:
        return "it has no version"
    return f"name a version, of which the newest is {SCHEME}{model.name}/{max(numbers)}"


def _made(store: Store, run_ids: Sequence[str]) -> Iterator[ModelVersion]:
    query, token = f"run_id IN ({', '.join(map(repr, run_ids))})", None
    while True:
        page = store.client.search_model_versions(query, page_token=token)
        yield from page
        if not (token := page.token):
            return


def _version(found: ModelVersion, model: RegisteredModel) -> Version:
    number = int(found.version)
    aliases = sorted(alias for alias, its in model.aliases.items() if int(its) == number)
    return Version(model.name, number, found.run_id or "", dict(found.tags), tuple(aliases))


def _change(store: Store, change: Callable[[], None]) -> None:
    def changed() -> None:
        try:
            change()
        except MlflowException as error:
            if error.error_code == "INVALID_PARAMETER_VALUE":
                why = str(error).removeprefix(f"{error.error_code}: ").splitlines()[0]
                raise UserError(f"{why.rstrip('.')}; give another one") from error
            raise failure(store.uri, error) from error

    from_first(changed)
