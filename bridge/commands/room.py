"""The room of commands put together: what a bridge needs to obey its provider."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from bridge.commands.actions import Actions, TagLink
from bridge.commands.commits import Commits
from bridge.commands.desk import Authority, CommandDesk
from bridge.commands.intervals import restore_intervals
from bridge.commands.nonces import Nonces
from bridge.commands.replies import Replies
from bridge.compose import Composer
from bridge.config.load import LoadedConfig
from bridge.errors import ConfigError, Problem
from bridge.orders.batch import Orders
from bridge.orders.desk import OrderDesk
from bridge.outbox.port import Replayed
from bridge.pipeline import Pipeline
from bridge.publisher import Message, Saved
from devices.clock import Clock
from protocols.errors import KeyFormatError
from protocols.mqtt.signed import public_key


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandRoom:
    """The desk, and what tells it of commits."""

    desk: CommandDesk
    commits: Commits

    def is_waited_for(self, messages: Sequence[Message]) -> bool:
        """Whether a commit must be told to ``commits.take``; in any thread."""
        return self.commits.is_waited_for(messages)


def find_provider_key(loaded: LoadedConfig) -> bytes | None:
    """Read whose commands are obeyed; None: nobody's.

    Raises
    ------
    ConfigError
        The file cannot be read, or holds no such key.
    """
    name = loaded.config.commands.provider_key_file
    if name is None:
        return None
    path = loaded.path_of(name)
    try:
        key_pem = path.read_bytes()
        public_key(key_pem)
    except (OSError, KeyFormatError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else str(exc)
        where = loaded.sources.nearest(("commands", "provider_key_file"))
        problem = Problem(path="commands.provider_key_file", where=where, message=f"{path}: {why}")
        raise ConfigError([problem]) from exc
    return key_pem


def make_command_room(
    loaded: LoadedConfig,
    *,
    orders: Orders,
    kept: Iterable[Saved],
    composer: Composer,
    clock: Clock,
    pipeline: Pipeline,
    tags: Mapping[str, TagLink],
    submit: Callable[[Message], None],
    replay: Callable[[str, int, int], "Future[Replayed]"],
    find_cap: Callable[[str], str | None],
) -> CommandRoom:
    """Put the desk of a bridge together; before the pipeline starts.

    Parameters
    ----------
    orders : Orders
        As ``restore_orders`` made them; ``orders.plan`` is the pipeline's.
    kept : iterable of Saved
        What earlier starts kept: nonces and intervals are taken from it.

    Raises
    ------
    ConfigError
        The provider's key cannot be used.
    """
    commands = loaded.config.commands
    key_pem = find_provider_key(loaded)
    kept = tuple(kept)
    nonces = Nonces(int(commands.window_s * 1e9))
    nonces.restore(kept)
    restore_intervals(pipeline.views, kept)
    commits = Commits(submit)
    desk = CommandDesk(
        authority=Authority(
            key_pem=key_pem,
            issuer=commands.issuer,
            window_s=commands.window_s,
            names=frozenset({composer.identity.bridge_id, loaded.config.bridge.id}),
        ),
        actions=Actions(pipeline=pipeline, clock=clock, tags=tags, replay=replay, find_cap=find_cap),
        orders=OrderDesk(
            orders,
            clock=clock,
            replan=lambda handover: pipeline.replan(handover, clock.mono_ns()),
            keep=commits.keep,
            must_be_kept=loaded.config.outbox.durable,
        ),
        replies=Replies(composer, clock, submit),
        nonces=nonces,
        composer=composer,
        clock=clock,
    )
    return CommandRoom(desk=desk, commits=commits)
