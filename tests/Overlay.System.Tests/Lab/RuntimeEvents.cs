using System.Diagnostics.Tracing;
using Microsoft.Diagnostics.NETCore.Client;
using Microsoft.Diagnostics.Tracing;
using Microsoft.Diagnostics.Tracing.Parsers;

namespace Overlay.SystemTests.Lab;

/// <summary>What the runtime of a process reported about its managed memory while it was observed.</summary>
/// <param name="Collections">Garbage collections that began, of any generation.</param>
/// <param name="Allocated">Bytes allocated on the managed heap in each second.</param>
internal sealed record RuntimeMemory(int Collections, IReadOnlyList<double> Allocated);

/// <summary>Listens to the runtime's own events and counters over its diagnostics socket. The process needs no preparation.</summary>
internal sealed class RuntimeEvents
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(20);

    private readonly EventPipeSession _session;
    private readonly List<double> _allocated = [];
    private readonly Lock _lock = new();
    private readonly List<(int Reports, TaskCompletionSource Reached)> _waiting = [];
    private int _collections;

    private RuntimeEvents(EventPipeSession session) => _session = session;

    /// <summary>Observes a process while something goes on, and until a second report of its counters has arrived after that.</summary>
    public static async Task<RuntimeMemory> ObserveAsync(int processId, Func<RuntimeEvents, Task> work)
    {
        using EventPipeSession session = await new DiagnosticsClient(processId).StartEventPipeSessionAsync(
            [
                new EventPipeProvider("Microsoft-Windows-DotNETRuntime", EventLevel.Informational, (long)ClrTraceEventParser.Keywords.GC),
                new EventPipeProvider(
                    "System.Runtime", EventLevel.Informational, 0, new Dictionary<string, string> { ["EventCounterIntervalSec"] = "1" }),
            ],
            requestRundown: false, circularBufferMB: 16, CancellationToken.None);
        var events = new RuntimeEvents(session);
        Task reading = Task.Factory.StartNew(events.Read, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        await events.ReportsAsync(1);
        await work(events);
        await events.ReportsAsync(2);
        await session.StopAsync(CancellationToken.None).WaitAsync(Deadline);
        await reading.WaitAsync(Deadline);
        return new RuntimeMemory(events._collections, events._allocated);
    }

    /// <summary>Waits for as many more reports, one a second.</summary>
    public Task ReportsAsync(int count)
    {
        var reached = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        lock (_lock) _waiting.Add((_allocated.Count + count, reached));
        return reached.Task.WaitAsync(Deadline);
    }

    private void Read()
    {
        using var source = new EventPipeEventSource(_session.EventStream);
        source.Clr.GCStart += _ => _collections++;
        source.Dynamic.All += Report;
        source.Process();
    }

    private void Report(TraceEvent each)
    {
        if (each.EventName != "EventCounters") return;
        var counter = (IDictionary<string, object>)((IDictionary<string, object>)each.PayloadValue(0))["Payload"];
        if ((string)counter["Name"] != "alloc-rate") return;
        lock (_lock)
        {
            _allocated.Add((double)counter["Increment"]);
            foreach ((int reports, TaskCompletionSource reached) in _waiting)
            {
                if (_allocated.Count >= reports) reached.TrySetResult();
            }
        }
    }
}
