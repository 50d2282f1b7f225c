"""Measurements of Brama beside its peers, in one run: ``python -m bench``.

A *contest* has *contenders* that do the same work: Brama first, then the peers that are installed.
They take turns in short rounds, in an order that is drawn anew each time, so that whatever else
the machine does hits all of them alike. What is reported is the median of the rounds; a ratio is
the median of the ratios within each round, with its 95 % interval. A figure whose interval is too
wide to tell anything is not printed. After the last round every contender proves that it did
exactly the work that it was timed for; one that cannot ends the run.

    python -m bench                          # everything, about five minutes
    python -m bench --quick sync refusal     # two contests, roughly
    python -m bench --json figures.json      # the same for machines
    python -m bench --publish                # everything, into docs/performance and the README

``budgets.toml`` holds what each path may cost. The exit status is 1 when one is missed by more than
its slack.

To add a contest: write a function that yields its contenders, see `bench.contests.calls`, list it
in `bench.contests` and in `bench.sections`, and give it a budget.
"""
