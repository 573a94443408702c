using System.Globalization;
using System.IO.Pipelines;
using System.Runtime.InteropServices;
using Overlay.Agent.Planning;
using Overlay.Agent.Status;
using Overlay.Dataplane.Observation;
using Overlay.Wire.Capture;

namespace Overlay.Agent.Capture;

/// <summary>The captures of a node: those that run, and what the rings hold. Used by any thread.</summary>
internal sealed class CaptureHub(Node node)
{
    /// <summary>Captures at a time: each costs the workers time and the daemon memory.</summary>
    public const int MostCaptures = 8;

    private readonly Lock _lock = new();
    private readonly List<CaptureSession> _sessions = [];
    private long _lostBefore;
    private int _next;

    /// <summary>Captures that run.</summary>
    public int Count
    {
        get
        {
            lock (_lock) return _sessions.Count;
        }
    }

    /// <summary>Packets that captures wanted and could not be given, since the daemon started.</summary>
    public long Lost
    {
        get
        {
            lock (_lock) return _lostBefore + _sessions.Sum(session => session.Lost);
        }
    }

    /// <returns>Null where too many run.</returns>
    public CaptureSession? Start(CaptureRequest request)
    {
        lock (_lock)
        {
            if (_sessions.Count == MostCaptures) return null;
            var session = new CaptureSession((++_next).ToString(CultureInfo.InvariantCulture), request, node.Observers.Count);
            _sessions.Add(session);
            Publish();
            return session;
        }
    }

    /// <summary>Takes a capture out, whose reader is gone.</summary>
    public void Remove(CaptureSession session)
    {
        lock (_lock)
        {
            _sessions.Remove(session);
            _lostBefore += session.Lost;
            Publish();
        }
        session.Dispose();
    }

    /// <summary>Has a capture completed.</summary>
    /// <returns>False where there is no such.</returns>
    public bool End(string? id)
    {
        lock (_lock)
        {
            if (_sessions.Find(session => session.Id == id) is not { } found) return false;
            found.End();
            // Its queues fill no further, so that what is in them can be written out.
            Publish();
            return true;
        }
    }

    /// <summary>Has all captures completed: the daemon ends.</summary>
    public void EndAll()
    {
        lock (_lock)
        {
            foreach (CaptureSession session in _sessions) session.End();
            Publish();
        }
    }

    /// <summary>Begins a file.</summary>
    public CapturedPackets Begin(PipeWriter output, CaptureRequest request)
    {
        NodePlan plan = node.Plan;
        var writer = new PcapngWriter(output, CapturedPackets.MostSnapLength);
        writer.WriteSectionHeader(RuntimeInformation.OSArchitecture.ToString(), RuntimeInformation.OSDescription, $"overlayd {StatusReporter.Version}, node {plan.Options.Node}");
        return new CapturedPackets(writer, new OuterHeaders(plan), request.Segmented);
    }

    /// <summary>Writes a file of what the rings hold.</summary>
    public async Task WriteRingAsync(PipeWriter output, CaptureRequest request, CancellationToken cancellation)
    {
        CapturedPackets packets = Begin(output, request);
        DateTime start = DateTime.UtcNow;
        List<(PacketRecord Record, byte[] Bytes)> wanted = Recent(request.Filter);
        if (request.Count is { } most && most < wanted.Count) wanted = wanted[^(int)most..];
        foreach ((PacketRecord record, byte[] bytes) in wanted)
        {
            start = new DateTime(Math.Min(start.Ticks, record.Time), DateTimeKind.Utc);
            packets.Write(record, bytes.AsSpan(0, Math.Min(bytes.Length, request.SnapLength)), long.MaxValue);
        }
        packets.WriteStatistics(start, 0, 0);
        await output.FlushAsync(cancellation).ConfigureAwait(false);
    }

    private List<(PacketRecord Record, byte[] Bytes)> Recent(CaptureFilter filter) =>
        [.. node.Observers.SelectMany(observer => observer.Recent()).Where(each => filter.Takes(each.Record, each.Bytes)).OrderBy(each => each.Record.Time)];

    private void Publish()
    {
        for (int queue = 0; queue < node.Observers.Count; queue++) node.Observers[queue].Captures = [.. _sessions.Where(session => !session.IsEnding).Select(session => session.Queues[queue])];
    }
}
