"""Adapters: circuits inside HTTP clients, one for each host.

Each stands in a module of its own that imports its client, so that none of them is needed:

- `brama.circuits.adapters.aiohttp`: a client middleware.
- `brama.circuits.adapters.httpx`: transports, sync and async (``pip install brama[httpx]``).
- `brama.circuits.adapters.requests`: an adapter to mount (``pip install brama[requests]``).

All follow the same rules:

- **A circuit for each host** and port, named ``"api.example.com"``, made when it is needed. One
  that you have made by that name beforehand is used as it is. `circuit=` says otherwise.
- **Failures** are time-outs, connections that cannot be made or that break, and the statuses 429
  and 5xx. Any other status is a success: the host has answered. What is wrong with the request
  itself, and a pool of one's own that is exhausted, are neutral.
- **The policy's own functions**, `classify` and `record_result`, are asked about a response first,
  then its status is.
- **The call ends with the body**, not with the headers: one that breaks halfway is a failure. A
  body that the reader closes early is a success. A reader that is cancelled is neutral.
- **Retry-After**, in seconds or as a date, is how long the circuit stays open if that response
  opens it; at most the policy's `max_expiry`.
- **A refusal** is both a `brama.CircuitOpenError` and an error of the client, so that what handles
  the client's errors handles it, too.

The options are the same, too:

- `circuits`: a `brama.System` to make circuits in; the default one by default.
- `circuit`: the circuit of all requests, or its name, or a function of the request that chooses one
  and returns None for a request that is to pass unguarded. By default each host has its own.
- `scope`, and `policy` or single options (`failure_threshold=3`, see `brama.Policy`): of the
  circuits that are made.
- `kind`: of connection those are, ``"service"`` by default; see `brama.ConnectionKind`.
- `failure_status`: which statuses are failures, as a collection or a function of one.
- `probe`: whether a request may be a half-open circuit's probe: a bool, or a function of it.
- `max_circuits`: how many circuits for hosts are kept, 1000 by default; beyond it the least
  recently used one goes, closed and idle ones first.

A wrong one is a `brama.ConfigError` when the adapter is made.
"""
