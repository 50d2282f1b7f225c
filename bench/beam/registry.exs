# What Elixir's Registry takes to dispatch to ten of many subscribers, each a process.
#
# Reads "dispatch times" line by line, dispatches so many events, and answers with nanoseconds until
# the last delivery and with the deliveries that the subscribers have counted.
defmodule Hall do
  @matching 10

  def open(size) do
    {:ok, _} = Registry.start_link(keys: :duplicate, name: Hall.Registry)
    hot = for _ <- 1..@matching, do: subscriber("hot")
    for n <- 1..(size - @matching), do: subscriber("cold-#{n}")
    hot
  end

  def dispatch(hot, times) do
    start = System.monotonic_time(:nanosecond)

    for _ <- 1..times do
      Registry.dispatch(Hall.Registry, "hot", fn entries ->
        for {pid, _} <- entries, do: send(pid, :event)
      end)
    end

    # A process handles its messages in order: whoever answers has handled all before.
    for pid <- hot, do: send(pid, {:count, self()})
    counts = for _ <- hot, do: receive(do: ({:count, count} -> count))
    {System.monotonic_time(:nanosecond) - start, Enum.sum(counts)}
  end

  defp subscriber(key) do
    main = self()

    pid =
      spawn(fn ->
        {:ok, _} = Registry.register(Hall.Registry, key, nil)
        send(main, :registered)
        listen(0)
      end)

    receive(do: (:registered -> pid))
  end

  defp listen(count) do
    receive do
      :event -> listen(count + 1)
      {:count, from} -> send(from, {:count, count}) && listen(0)
    end
  end
end

[size] = System.argv()
hot = Hall.open(String.to_integer(size))
IO.puts("elixir #{System.version()}")

IO.stream(:stdio, :line)
|> Enum.each(fn line ->
  ["dispatch", times] = String.split(line)
  {nanoseconds, count} = Hall.dispatch(hot, String.to_integer(times))
  IO.puts("#{nanoseconds} #{count}")
end)
