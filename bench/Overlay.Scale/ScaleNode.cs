using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using Microsoft.Extensions.Logging.Abstractions;
using Overlay.Agent.Configuration;
using Overlay.Agent.Control;
using Overlay.Control.Ipam;
using Overlay.Linux;

namespace Overlay.Scale;

/// <summary>A node as overlayd is one to the controllers: its session, its allocator, its files; without devices and packets.</summary>
internal sealed class ScaleNode : IAsyncDisposable
{
    private readonly CancellationTokenSource _end = new();
    private readonly ControlState _state;
    private readonly ControlSession _session;
    private readonly NodeAllocator _allocator;
    private readonly string _name;
    private volatile TaskCompletionSource _changed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private long _changedAt;
    private Task _running = Task.CompletedTask;

    /// <param name="folder">Where its certificate is.</param>
    /// <param name="kept">Where it keeps what outlives it.</param>
    public ScaleNode(string name, int number, int[] ports, string folder, string kept)
    {
        _name = name;
        string own = Directory.CreateDirectory($"{kept}/{name}").FullName;
        var options = new ControlOptions(
            0, [.. ports.Select(port => new Located<DnsEndPoint>(new DnsEndPoint("127.0.0.1", port), 0))], new($"{folder}/{name}.pem", 0), new($"{folder}/{name}.key", 0), new($"{folder}/ca.pem", 0), new(own, 0), null, [], null);
        _state = new ControlState(own, name);
        _allocator = new NodeAllocator(new NodeAllocatorOptions { Journal = $"{own}/addresses.journal", IsLeased = true }, BootTime.Clock);
        _session = new ControlSession(name, options, new RegistrationFile(own), _state, _allocator, Changed, NullLogger.Instance);
        _session.Use([IPAddress.Parse(string.Create(CultureInfo.InvariantCulture, $"172.16.{number >> 8}.{number & 255}"))]);
    }

    public IReadOnlyList<IPAddress> Addresses => [.. _allocator.All.Select(held => held.Address)];

    public async Task JoinAsync(int addresses, CancellationToken deadline)
    {
        _running = Task.Run(() => _session.RunAsync(_end.Token), deadline);
        for (int i = 0; i < addresses; i++)
        {
            string owner = string.Create(CultureInfo.InvariantCulture, $"{_name}/pod-{i}");
            // As a container runtime asks again, until the deadline of the whole.
            while (_allocator.Allocate("pods", AddressFamily.InterNetwork, owner).Status is AllocationStatus.Exhausted or AllocationStatus.Unconfirmed)
                await Task.Delay(100, deadline).ConfigureAwait(false);
        }
    }

    /// <summary>Hands out addresses at a rate a second, each held for five seconds; for a thread of its own.</summary>
    public (List<double> Milliseconds, int Refused, int Blocks) Churn(double rate, TimeSpan duration)
    {
        var held = new Queue<(long Until, string Owner)>();
        var taken = new List<double>();
        int refused = 0;
        long start = Stopwatch.GetTimestamp();
        for (int i = 0; i < rate * duration.TotalSeconds; i++)
        {
            TimeSpan early = TimeSpan.FromSeconds(i / rate) - Stopwatch.GetElapsedTime(start);
            // The rate is kept by the clock: what one call takes late, the next wait makes up for.
            if (early > TimeSpan.Zero) Thread.Sleep(early);
            string owner = string.Create(CultureInfo.InvariantCulture, $"{_name}/churn-{i}");
            long before = Stopwatch.GetTimestamp();
            Allocation next = _allocator.Allocate("pods", AddressFamily.InterNetwork, owner);
            taken.Add(Stopwatch.GetElapsedTime(before).TotalMilliseconds);
            if (next.Status == AllocationStatus.Allocated) held.Enqueue((before + (5 * Stopwatch.Frequency), owner));
            else refused++;
            while (held.TryPeek(out (long Until, string Owner) oldest) && oldest.Until < before) _allocator.Release("pods", held.Dequeue().Owner);
        }
        return (taken, refused, _allocator.BlocksOf("pods").Count);
    }

    /// <summary>Waits until a revision is known.</summary>
    /// <returns>When the last one was told.</returns>
    public async Task<long> WaitForAsync(long revision, CancellationToken deadline)
    {
        while (true)
        {
            Task changed = _changed.Task;
            if (_state.Revision >= revision) return Volatile.Read(ref _changedAt);
            await changed.WaitAsync(deadline).ConfigureAwait(false);
        }
    }

    public async ValueTask DisposeAsync()
    {
        await _end.CancelAsync().ConfigureAwait(false);
        await _running.ConfigureAwait(false);
        _allocator.Dispose();
        _end.Dispose();
    }

    private void Changed()
    {
        Volatile.Write(ref _changedAt, Stopwatch.GetTimestamp());
        TaskCompletionSource told = _changed;
        _changed = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        told.SetResult();
    }
}
