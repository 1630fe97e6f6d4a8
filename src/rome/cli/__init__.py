# PYTHON_ARGCOMPLETE_OK
"""The `rome` command: look into databases, and look after them.

    rome list URL                   list the databases of a server or folder
    rome tables URL [--counts] [--size]
                                    list tables and views
    rome schema URL [TABLE]         print the statements that made the tables, indexes, views and triggers
    rome query URL SQL [--json|--csv|--records] [PARAMETER ..]
                                    run statements in one transaction and print their results
    rome shell URL                  run statements as they are typed
    rome explain URL STATEMENT [--analyze] [PARAMETER ..]
                                    show what a statement would read, wave by wave; --analyze runs it and counts
    rome insights FILE              show where an application's time in the database goes, on a page
    rome dump URL FILE              write the database, as it is at one moment, into an archive
    rome load URL FILE              fill a new database from an archive
    rome import SOURCE URL          copy a database of another kind, such as MariaDB's, into a new one
    rome export URL TARGET          copy a database into an empty one of another kind
    rome verify URL                 check that rows, index entries and constraints fit together
    rome retention URL [SECONDS]    show or change how long superseded versions are kept
    rome trim URL                   discard superseded versions now
    rome restored URL [--all]       refuse transactions from before the server was restored from a backup
    rome drop URL [--yes]           delete a database
    rome metrics URL [--all] [--serve PORT]
                                    print what the store knows of the database, for Prometheus, or serve it
    rome top URL [--process URL]    show what happens in the database, again and again
    rome doctor URL                 report what a store would lose in each kind of failure, and what is wrong with it

Every command but `shell` takes --json. No command but `load` and `import` creates a database. If the database raises an
error, the command prints one line on stderr and ends with status 1; if the command line is wrong, with 2. `rome doctor`
ends with status 0 if all is well, 1 if there is a warning or a check could not be made, and 2 if there is a problem or
an error.

With the extra `cli`, `eval "$(register-python-argcomplete rome)"` lets bash and zsh complete commands and options.
"""

from __future__ import annotations

from collections.abc import Sequence

from rome.cli.commands import complete, main_parser, split_parameters
from rome.cli.running import run


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    Args:
        arguments: the command line without the program's name; None for that of the process.
    """
    parser = main_parser()
    complete(parser)
    return run(split_parameters(parser, arguments))
