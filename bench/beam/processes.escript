#!/usr/bin/env escript
%%! +sbwt none
%% What the BEAM's own processes take for the work of the contests about actors.
%%
%% Reads "command times" line by line, does the work so often, and answers with one line:
%% nanoseconds (or bytes, for memory) and how many times the work was done, as its receiver counts.
-mode(compile).

main(_) ->
    io:setopts([{binary, false}]),
    io:format("otp ~s~n", [erlang:system_info(otp_release)]),
    loop().

loop() ->
    case io:get_line("") of
        eof -> ok;
        Line ->
            [Command, Times] = string:tokens(string:trim(Line), " "),
            {Amount, Done} = work(list_to_atom(Command), list_to_integer(Times)),
            io:format("~b ~b~n", [Amount, Done]),
            loop()
    end.

%% One process sends, another one counts.
work(tell, Times) ->
    Main = self(),
    Receiver = spawn(fun() -> receive_all(Main, Times, 0) end),
    timed(fun() ->
        spawn(fun() -> send_all(Receiver, Times) end),
        receive {received, Count} -> Count end
    end);

%% A request and its reply, one after the other, as gen_server does it: with a monitor.
work(call, Times) ->
    Server = spawn(fun serve/0),
    Result = timed(fun() -> call_all(Server, Times, 0) end),
    exit(Server, kill),
    Result;

%% Two processes tell each other in turns; one time is there and back.
work(pingpong, Times) ->
    Main = self(),
    timed(fun() ->
        Pong = spawn(fun() -> pong() end),
        spawn(fun() -> ping(Main, Pong, Times, 0) end),
        receive {rallies, Count} -> exit(Pong, kill), Count end
    end);

%% Processes until each has said that it runs.
work(start, Times) ->
    Main = self(),
    {Amount, {Count, Pids}} = timed(fun() ->
        Started = [spawn(fun() -> Main ! up, idle() end) || _ <- lists:seq(1, Times)],
        {collect(up, Times, 0), Started}
    end),
    [exit(Pid, kill) || Pid <- Pids],
    {Amount, Count};

%% Processes that are told to end, until the last is gone.
work(stop, Times) ->
    Refs = [spawn_monitor(fun idle/0) || _ <- lists:seq(1, Times)],
    timed(fun() ->
        [Pid ! stop || {Pid, _} <- Refs],
        length([receive {'DOWN', Ref, process, _, _} -> Ref end || {_, Ref} <- Refs])
    end);

%% Bytes of one idle process.
work(memory, Times) ->
    Main = self(),
    Before = erlang:memory(processes),
    Pids = [spawn(fun() -> Main ! up, idle() end) || _ <- lists:seq(1, Times)],
    Count = collect(up, Times, 0),
    Bytes = (erlang:memory(processes) - Before) div Times,
    [exit(Pid, kill) || Pid <- Pids],
    {Bytes, Count}.

timed(Work) ->
    Start = erlang:monotonic_time(nanosecond),
    Result = Work(),
    {erlang:monotonic_time(nanosecond) - Start, Result}.

send_all(_, 0) -> ok;
send_all(Receiver, Left) -> Receiver ! message, send_all(Receiver, Left - 1).

receive_all(Main, Times, Times) -> Main ! {received, Times};
receive_all(Main, Times, Count) -> receive message -> receive_all(Main, Times, Count + 1) end.

call_all(_, 0, Count) -> Count;
call_all(Server, Left, Count) ->
    Ref = erlang:monitor(process, Server),
    Server ! {call, self(), Ref, question},
    receive {Ref, question} -> erlang:demonitor(Ref, [flush]) end,
    call_all(Server, Left - 1, Count + 1).

serve() -> receive {call, From, Ref, Question} -> From ! {Ref, Question}, serve() end.

ping(Main, _, 0, Count) -> Main ! {rallies, Count};
ping(Main, Pong, Left, Count) ->
    Pong ! {ping, self()},
    receive pong -> ping(Main, Pong, Left - 1, Count + 1) end.

pong() -> receive {ping, From} -> From ! pong, pong() end.

idle() -> receive stop -> ok end.

collect(_, Times, Times) -> Times;
collect(What, Times, Count) -> receive What -> collect(What, Times, Count + 1) end.
