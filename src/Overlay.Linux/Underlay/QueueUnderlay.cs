using Overlay.Dataplane.Buffers;
using Overlay.Dataplane.Devices;

namespace Overlay.Linux.Underlay;

/// <summary>One queue of the underlay: UDP tunnels, IP-in-IP, or both. Owns the two.</summary>
/// <param name="udp">Null where nothing is carried in UDP.</param>
/// <param name="raw">Null where nothing is carried in IP-in-IP.</param>
public sealed class QueueUnderlay(UdpUnderlay? udp, RawIpUnderlay? raw) : IUnderlay, IDisposable
{
    /// <summary>Values that a flow's place among the source ports may have where there are none.</summary>
    private const int FlowCount = 256;

    private bool _rawIsFirst;

    public UdpUnderlay? Udp { get; } = udp;

    /// <summary>By <see cref="DatagramTrain.SourcePortIndex"/>; zeros where nothing is carried in UDP.</summary>
    public IReadOnlyList<ushort> SourcePorts { get; } = udp?.SourcePorts ?? new ushort[FlowCount];

    /// <summary>For polling.</summary>
    public IReadOnlyList<int> ReceiveDescriptors { get; } = [.. udp?.ReceiveDescriptors ?? [], .. raw?.ReceiveDescriptors ?? []];

    /// <summary>What the kernel refused, one readable text each.</summary>
    public IEnumerable<string> Refusals => [.. Udp?.Refusals ?? [], .. raw?.Refusals ?? []];

    /// <summary>As <see cref="IUnderlay.Send"/>; all trains of a batch are of one segment, and so of one kind.</summary>
    public void Send(SendBatch batch)
    {
        if (batch.Count == 0) return;
        if (batch.Trains[0].Protocol != 0) raw!.Send(batch);
        else Udp!.Send(batch);
    }

    /// <summary>As <see cref="IUnderlay.Receive"/>, from one of the two; each is first in turn, so that none starves the other.</summary>
    public int Receive(ReceiveBatch batch)
    {
        if (Udp is null) return raw!.Receive(batch);
        if (raw is null) return Udp.Receive(batch);
        _rawIsFirst = !_rawIsFirst;
        int received = _rawIsFirst ? raw.Receive(batch) : Udp.Receive(batch);
        if (received > 0) return received;
        return _rawIsFirst ? Udp.Receive(batch) : raw.Receive(batch);
    }

    public void Dispose()
    {
        Udp?.Dispose();
        raw?.Dispose();
    }
}
