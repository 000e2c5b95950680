"""``mu completion``: what a shell needs to complete the words of ``mu``."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from mu.errors import UserError

SHELLS = ("bash", "zsh", "fish")
HELP = """Print what makes a shell complete the commands and options of mu.

\b
  mu completion bash >> ~/.bashrc
  mu completion zsh >> ~/.zshrc
  mu completion fish > ~/.config/fish/completions/mu.fish
"""


@click.command("completion", help=HELP, short_help="Shell completion for bash, zsh and fish.")
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    """Print it."""
    kind = get_completion_class(shell)
    assert kind is not None
    root = context.find_root()
    try:
        click.echo(kind(root.command, {}, "mu", "_MU_COMPLETE").source())
    except RuntimeError as error:  # of bash: it is too old, or not there
        raise UserError(f"shell {shell}: {error}") from error
